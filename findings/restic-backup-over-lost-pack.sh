#!/bin/bash
# restic 0.14.0 (Debian 0.14.0-1+b5): a file of the repository that holds data is lost. The next backup of the same data ends with 0
# and says that nearly nothing was new, because the index still says that the data is there. Its snapshot cannot be read.
# `restic check` finds that at once. So a backup that ends with 0 each night says nothing of the data that it did not send again.
#
# Unpacks the pinned package in a temporary folder. Ends with 0 if that is still so, with 1 if the behaviour changed, with 2 where
# the package cannot be downloaded.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
apt-get download -qq restic=0.14.0-1+b5 >/dev/null 2>&1 || { echo 'cannot be tried: restic cannot be downloaded'; exit 2; }
dpkg-deb -x restic_*.deb tree
export PATH="$dir/tree/usr/bin:$PATH" RESTIC_REPOSITORY=$dir/repository RESTIC_PASSWORD=x HOME=$dir
restic version
restic init >/dev/null
head -c 5000000 /dev/urandom >data
# shellcheck disable=SC2094 # a name in the repository
backup() { restic backup --json --stdin --stdin-filename data <data | tail -n 1; }
backup >/dev/null
pack=$(find repository/data -type f -size +1000k | head -n 1)
rm -f "$pack"
code=0
said=$(backup) || code=$?
added=$(printf %s "$said" | sed 's/.*"data_added":\([0-9]*\).*/\1/')
echo "after a file of $(wc -c <data) bytes lost a part, the next backup ended with $code and added $added bytes"
read=0 check=0
restic dump latest data 2>/dev/null | cmp -s - data || read=1
restic check >/dev/null 2>&1 || check=$?
echo "its snapshot can be read: $([ "$read" = 0 ] && echo yes || echo no); restic check ended with $check"
[ "$code" = 0 ] && [ "$added" -lt 100000 ] && [ "$read" = 1 ] && [ "$check" = 1 ]

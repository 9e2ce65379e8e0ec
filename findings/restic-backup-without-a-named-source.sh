#!/bin/bash
# restic 0.14.0 (Debian 0.14.0-1+b5): `restic backup A B`, where B does not exist, ends with 0. It says "B does not exist, skipping"
# and makes a snapshot of A alone, although its manual has exit code 3 for a backup of which some source could not be read. So a
# script that names a folder wrongly, or whose volume is not mounted, makes a good backup each night.
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
mkdir uploads
echo kept >uploads/a
# tried WORDS...: how a backup ends.
tried() {
  code=0
  restic backup --quiet "$@" 2>said || code=$?
  echo "$code"
}
missing=$(tried uploads database)
said=$(tail -n 1 said)
paths=$(restic snapshots --json latest | sed 's/.*"paths":\[\([^]]*\)\].*/\1/')
alone=$(tried database)
echo "one of two folders is not there: ended with $missing, said '$said', made a snapshot of $paths"
echo "the only folder is not there: ended with $alone"
case $said in *'does not exist, skipping') ;; *) exit 1 ;; esac
case $paths in *database*) exit 1 ;; *uploads*) ;; *) exit 1 ;; esac
[ "$missing" = 0 ] && [ "$alone" = 1 ]

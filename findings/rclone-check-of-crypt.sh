#!/bin/bash
# rclone 1.60.1 (Debian 1.60.1+dfsg-2+b5): a file behind `crypt` is damaged. `rclone check` of the original and the crypt remote
# ends with 0, and `rclone copyto --checksum` sends nothing and ends with 0, too: crypt has no hashes, so both compare sizes only.
# That they did so is a notice, "1 hashes could not be checked". `rclone check --download` and `rclone cryptcheck` end with 1, and
# `rclone cat` does. So the check that people put behind an encrypted upload does not see what they made it for.
#
# Unpacks the pinned package in a temporary folder. Ends with 0 if that is still so, with 1 if the behaviour changed, with 2 where
# the package cannot be downloaded.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
apt-get download -qq rclone=1.60.1+dfsg-2+b5 >/dev/null 2>&1 || { echo 'cannot be tried: rclone cannot be downloaded'; exit 2; }
dpkg-deb -x rclone_*.deb tree
export PATH="$dir/tree/usr/bin:$PATH" HOME=$dir RCLONE_CONFIG=/dev/null
export RCLONE_CONFIG_SAFE_TYPE=crypt RCLONE_CONFIG_SAFE_REMOTE=$dir/remote RCLONE_CONFIG_SAFE_FILENAME_ENCRYPTION=off
RCLONE_CONFIG_SAFE_PASSWORD=$(rclone obscure x)
export RCLONE_CONFIG_SAFE_PASSWORD
rclone version | head -n 1
mkdir data
head -c 3000000 /dev/urandom >data/a.sql
rclone copy data SAFE:
printf XX | dd of=remote/a.sql.bin bs=1 seek=2000000 conv=notrunc status=none
status=0
# ends CODE WORDS...
ends() {
  code=0
  rclone "${@:2}" >/dev/null 2>said || code=$?
  echo "rclone ${*:2}: ended with $code; $(sed -n 's/.*NOTICE: //p' said | grep -m 1 'could not be checked' || :)"
  [ "$code" = "$1" ] || status=1
}
ends 0 check data SAFE:
ends 0 copyto --checksum data/a.sql SAFE:a.sql
ends 1 check --download data SAFE:
ends 1 cryptcheck data SAFE:
ends 1 cat SAFE:a.sql
exit "$status"

#!/bin/bash
# zstd 1.5.4 (Debian 1.5.4+dfsg2-5) and 1.5.7 (1.5.7+dfsg-1): for the rows of a dump, with numbers, times, places and words, levels 1 to
# 5 make files of the same size, within one percent. Those of levels 4 and 5 are larger than that of level 1. With gzip 1.12 (1.12-1)
# level 6 makes a file of the same rows 15 % smaller than level 1 does. So a level of zstd that is chosen by what is known of gzip
# costs CPU time and saves nothing. From level 6 on, zstd makes smaller files.
#
# Unpacks the pinned packages in a temporary folder, makes the rows, and compares sizes. Ends with 0 if all of that is still so, with
# 1 if the behaviour changed, with 2 where a package cannot be downloaded.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
missing() { echo "cannot be tried: $1 cannot be downloaded"; exit 2; }
mkdir 1.5.4 1.5.7
for package in zstd=1.5.4+dfsg2-5 libzstd1=1.5.4+dfsg2-5 gzip=1.12-1; do
  apt-get download -qq "$package" >/dev/null 2>&1 || missing "$package"
  dpkg-deb -x "${package%%=*}"_*.deb 1.5.4
done
# Those of trixie, from the same mirror.
# shellcheck disable=SC2016 # a format of apt, no variable of the shell
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
for pinned in zstd=6da09b6aad171ef9b50d6a2bb4c62f756b3561aac5e05b452b80516223e5e0f5 \
  libzstd1=2f6a2aeacfc925eba8b00ac9139bc4bfccf8cacb09eb93de067074b26948eef9; do
  name=${pinned%%=*}
  /usr/lib/apt/apt-helper download-file "${mirror}pool/main/libz/libzstd/${name}_1.5.7+dfsg-1_amd64.deb" "$dir/$name.deb" \
    "SHA256:${pinned#*=}" >/dev/null 2>&1 || missing "$name 1.5.7"
  dpkg-deb -x "$name.deb" 1.5.7
done
awk '
  function random() { seed = (seed * 69069 + 1) % 4294967296; return int(seed / 65536) }
  BEGIN {
    number = split("alpha beta gamma delta order shipped pending customer invoice paid returned express standard north south east " \
      "west blue green large small gift wrapped fragile heavy light morning evening urgent late early partial", words, " ")
    seed = 7
    for (id = 1; id <= 200000; id++) {
      note = ""
      for (at = 0; at < 8; at++) note = note (at ? " " : "") words[1 + random() % number]
      code = sprintf("%04x", random()) sprintf("%04x", random())
      customer = random() * 16 % 1000000
      amount = random() % 10000 + random() % 100 / 100
      time = sprintf("2026-01-%02d ", 1 + random() % 28) sprintf("%02d:", random() % 24) sprintf("%02d:", random() % 60) sprintf("%02d", random() % 60)
      latitude = random() % 90 + random() * 15 % 1000000 / 1000000
      longitude = random() % 180 + random() * 15 % 1000000 / 1000000
      printf "%d\t%s\t%d\t%.2f\t%s\t%.6f\t%.6f\t%s\n", id, code, customer, amount, time, latitude, longitude, note
    }
  }' >rows
# size VERSION LEVEL: the bytes of the compressed rows.
size() {
  local library
  library=$(dirname "$(find "$1" -name libzstd.so.1)")
  LD_LIBRARY_PATH=$dir/$library "$1/usr/bin/zstd" -q "-$2" -T1 -c rows | wc -c
}
changed=0
expect() {
  if test "$2" "$3" "$4"; then echo "so: $1 ($2 $3 $4)"; else echo "CHANGED: $1 ($2 $3 $4)" && changed=1; fi
}
echo "$(wc -c <rows) bytes of rows"
for version in 1.5.4 1.5.7; do
  first=$(size $version 1)
  for level in 2 3 4 5; do
    bytes=$(size $version $level)
    expect "$version: level $level saves less than one percent of level 1" "$((bytes * 100))" -gt "$((first * 99))"
    if [ $level -ge 4 ]; then expect "$version: level $level is larger than level 1" "$bytes" -gt "$first"; fi
  done
  expect "$version: level 9 saves more than five percent of level 1" "$(($(size $version 9) * 100))" -lt "$((first * 95))"
done
expect 'gzip: level 6 saves more than ten percent of level 1' "$(($(1.5.4/bin/gzip -6 -c rows | wc -c) * 100))" -lt \
  "$(($(1.5.4/bin/gzip -1 -c rows | wc -c) * 90))"
exit $changed

#!/bin/bash
# rclone 1.60.1 (Debian 1.60.1+dfsg-2+b5): while the variable AWS_CA_BUNDLE is set, as it is where a company has a certificate
# authority of its own, no S3 remote can be opened, not even over plain HTTP and with the system's own bundle: "unable to load
# custom CA bundle, HTTPClient's transport unsupported type". The variable is that of the library below, which adds the
# certificates to a transport of Go's, and rclone brings another. Without the variable the same command reaches the network.
#
# Unpacks the pinned package in a temporary folder and sends nothing. Ends with 0 if that is still so, with 1 if the behaviour
# changed, with 2 where the package cannot be downloaded.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
apt-get download -qq rclone=1.60.1+dfsg-2+b5 >/dev/null 2>&1 || { echo 'cannot be tried: rclone cannot be downloaded'; exit 2; }
dpkg-deb -x rclone_*.deb tree
export PATH="$dir/tree/usr/bin:$PATH" HOME=$dir RCLONE_CONFIG=/dev/null RCLONE_CONFIG_B_TYPE=s3 RCLONE_CONFIG_B_PROVIDER=Other
export RCLONE_CONFIG_B_ENDPOINT=http://127.0.0.1:1 RCLONE_CONFIG_B_ACCESS_KEY_ID=x RCLONE_CONFIG_B_SECRET_ACCESS_KEY=x
rclone version | head -n 1
bundle=/etc/ssl/certs/ca-certificates.crt
[ -r "$bundle" ] || { echo "cannot be tried: no $bundle"; exit 2; }
with=$(AWS_CA_BUNDLE=$bundle rclone --retries=1 --low-level-retries=1 lsd B: 2>&1) || :
without=$(env -u AWS_CA_BUNDLE rclone --retries=1 --low-level-retries=1 lsd B: 2>&1) || :
printf 'with the variable:\n%s\nwithout it:\n%s\n' "$with" "$without"
case $with in *'unsupported transport, *fshttp.Transport'*) ;; *) exit 1 ;; esac
case $without in *'unsupported transport'*) exit 1 ;; *'connection refused'*) ;; *) exit 1 ;; esac

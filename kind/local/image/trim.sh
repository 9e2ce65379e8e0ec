#!/bin/sh
# mmdebstrap's customize hook: takes out what makes the image large and no test needs (the data
# directory MariaDB's package made, PostgreSQL's just-in-time compiler), and pigz, which becomes a
# layer of its own. Usage: trim.sh ROOT DIRECTORY-FOR-PIGZ
set -eu
root=$1
mkdir -p "$2/usr/bin"
mv "$root/usr/bin/pigz" "$2/usr/bin/pigz"
rm -f "$root/usr/bin/unpigz" "$root/usr/sbin/policy-rc.d"
rm -rf "$root/var/lib/mysql" "$root"/var/cache/apt/* "$root"/var/log/* "$root"/usr/share/i18n
rm -f "$root"/usr/lib/*/libLLVM-* "$root"/usr/lib/*/libz3.so* "$root"/usr/lib/postgresql/*/lib/llvmjit.so
mkdir -p "$root/docker-entrypoint-initdb.d"
chroot "$root" install -d -o mysql -g mysql /var/lib/mysql /run/mysqld
chroot "$root" install -d -o postgres -g postgres -m 2775 /var/run/postgresql

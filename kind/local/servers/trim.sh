#!/bin/sh
# mmdebstrap's customize hook: takes out what is large and no test needs, makes the directories and the locale of the
# official images, and leaves the versions and users for build.sh. Usage: trim.sh ROOT DIRECTORY
set -eu
root=$1
# shellcheck disable=SC2016 # the ${…} are dpkg-query's
chroot "$root" dpkg-query --show --showformat '${Package} ${Version}\n' >"$2/versions"
cp "$root/etc/passwd" "$root/etc/group" "$2/"
chroot "$root" localedef -i en_US -c -f UTF-8 en_US.UTF-8
# The packages of MariaDB's own repository, which the official image is made of, have no mysql* names.
if [ -e "$root/usr/bin/mariadb" ]; then
	find "$root/usr/bin" "$root/usr/sbin" -type l -name 'mysql*' -delete
fi
rm -f "$root/usr/sbin/policy-rc.d"
rm -rf "$root/var/lib/mysql" "$root/var/lib/postgresql" "$root/etc/mysql"
rm -rf "$root"/var/cache/apt/* "$root"/var/log/* "$root"/usr/share/i18n "$root"/usr/lib/mysql/plugin/*telemetry*
rm -f "$root"/usr/lib/*/libLLVM* "$root"/usr/lib/*/libz3.so* "$root"/usr/lib/postgresql/*/lib/llvmjit.so
rm -f "$root"/usr/bin/aria_* "$root"/usr/bin/*isam* "$root"/usr/bin/*slap "$root"/usr/bin/mysql_migrate_keyring
mkdir -p "$root/docker-entrypoint-initdb.d"
chroot "$root" install -d -o postgres -g postgres -m 1777 /var/lib/postgresql
chroot "$root" install -d -o postgres -g postgres -m 3777 /var/run/postgresql
chroot "$root" install -d -o mysql -g mysql -m 1777 /var/lib/mysql /run/mysqld
chroot "$root" install -d -o mysql -g mysql -m 750 /var/lib/mysql-files

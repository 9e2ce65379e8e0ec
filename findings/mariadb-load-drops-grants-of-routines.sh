#!/bin/bash
# MariaDB 10.11.19 (Debian 1:10.11.19-0+deb12u1): a dump with --routines that is loaded over its own database takes away every EXECUTE
# that was granted on a single routine. The dump drops each routine before it makes it, the server revokes what was granted on a
# routine that is dropped (automatic_sp_privileges, on by default), and the dump holds no grants. The load ends well and says
# nothing. Grants on tables stay, although the dump drops and makes these, too.
#
# Installs the pinned packages in a temporary folder and runs a server there, on a socket alone. Ends with 0 if that is still
# so, with 1 if the behaviour changed.
set -eu
version=1:10.11.19-0+deb12u1
dir=$(mktemp -d)
server=
clean() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server"; } || :
  rm -rf "$dir"
}
trap clean EXIT
cd "$dir"
chmod 755 .
apt-get download -qq "mariadb-server-core=$version" "mariadb-client=$version" "mariadb-client-core=$version" >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" tree; done
export PATH="$dir/tree/usr/bin:$dir/tree/usr/sbin:$PATH"
data=(--no-defaults "--basedir=$dir/tree/usr" "--lc-messages-dir=$dir/tree/usr/share/mysql" "--datadir=$dir/data")
[ "$(id -u)" != 0 ] || data+=(--user=root)
mariadb-install-db "${data[@]}" --auth-root-authentication-method=normal --skip-test-db >/dev/null 2>&1
mariadbd "${data[@]}" --skip-networking "--socket=$dir/socket" 2>"$dir/log" &
server=$!
sql() { mariadb --no-defaults "--socket=$dir/socket" -uroot -BN "$@"; }
for _ in $(seq 100); do ! sql -e 'SELECT 1' >/dev/null 2>&1 || break; sleep 0.1; done
sql -e "CREATE DATABASE shop; USE shop; CREATE TABLE t (n int); CREATE PROCEDURE p() SELECT 1; CREATE USER app@'%';
  GRANT SELECT ON shop.t TO app@'%'; GRANT EXECUTE ON PROCEDURE shop.p TO app@'%'"
grants() { sql -e "SHOW GRANTS FOR app@'%'"; }
before=$(grants)
mariadb-dump --no-defaults "--socket=$dir/socket" -uroot --routines shop >dump.sql
sql shop <dump.sql
after=$(grants)
mariadbd --no-defaults --version
printf 'before:\n%s\nafter the load:\n%s\n' "$before" "$after"
case $before in *'EXECUTE ON PROCEDURE'*) ;; *) exit 1 ;; esac
# shellcheck disable=SC2016 # backquotes quote names
case $after in *EXECUTE*) exit 1 ;; *'GRANT SELECT ON `shop`.`t`'*) ;; *) exit 1 ;; esac

#!/bin/bash
# MariaDB 10.11.19 (Debian 1:10.11.19-0+deb12u1): what SHOW CREATE VIEW, and so mariadb-dump, says of a view depends on whether
# its definer still exists. While the account is there, columns are written as `t`.`n`; once it was dropped, as
# `shop`.`t`.`n`, while the table behind FROM stays `t`. A dump that was fine yesterday then loads into a schema of its own name
# only: anywhere else it ends with error 1054, unknown column.
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
sql -e "CREATE DATABASE shop; USE shop; CREATE TABLE t (n int); CREATE USER app@'%'; GRANT ALL ON shop.* TO app@'%';
  CREATE DEFINER=app@'%' VIEW v AS SELECT n FROM t; CREATE DATABASE copy1; CREATE DATABASE copy2"
dump() { mariadb-dump --no-defaults "--socket=$dir/socket" -uroot --single-transaction shop; }
# shellcheck disable=SC2016 # backticks quote names
view() { dump | grep -o 'VIEW `v` AS .* from' | tail -n 1; }
into() { sql "$1" 2>&1 | grep -o 'ERROR [0-9]*' || echo loaded; }
with=$(view)
first=$(dump | into copy1)
sql -e "DROP USER app@'%'"
without=$(view)
second=$(dump | into copy2)
mariadbd --no-defaults --version
echo "definer is there: $with -> $first"
echo "definer is gone:  $without -> $second"
# shellcheck disable=SC2016 # backticks quote names
[ "$with" = 'VIEW `v` AS select `t`.`n` AS `n` from' ] && [ "$first" = loaded ] &&
  [ "$without" = 'VIEW `v` AS select `shop`.`t`.`n` AS `n` from' ] && [ "$second" = 'ERROR 1054' ]

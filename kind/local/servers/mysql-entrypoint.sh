#!/bin/sh
# First process of the mysql image: the official image's conventions (MYSQL_*, NAME_FILE, /docker-entrypoint-initdb.d),
# then the server itself as process 1.
set -eu

# from_file NAME [DEFAULT]: NAME's value, or what the file named by NAME_FILE holds.
from_file() {
	eval "value=\${$1-} file=\${$1_FILE-}"
	if [ -n "$value" ] && [ -n "$file" ]; then
		echo "$1 and $1_FILE are both set" >&2
		exit 1
	fi
	[ -z "$file" ] || value=$(cat "$file")
	export "$1=${value:-${2-}}"
	unset "$1_FILE"
}
string() { printf "'%s'" "$(printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g")"; }
# shellcheck disable=SC2016
name() { printf '`%s`' "$(printf %s "$1" | sed 's/`/``/g')"; }

case ${1-} in '' | -*) set -- mysqld "$@" ;; esac
[ "$1" = mysqld ] || exec "$@"

data=/var/lib/mysql
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$data" /var/run/mysqld
	chown mysql: "$data" /var/run/mysqld
	exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
fi
[ ! -d "$data/mysql" ] || exec "$@"
shift

for variable in ROOT_PASSWORD DATABASE USER PASSWORD; do from_file "MYSQL_$variable"; done
from_file MYSQL_ROOT_HOST %
if [ -z "$MYSQL_ROOT_PASSWORD${MYSQL_ALLOW_EMPTY_PASSWORD-}" ]; then
	echo 'MYSQL_ROOT_PASSWORD must be set (or MYSQL_ALLOW_EMPTY_PASSWORD=yes)' >&2
	exit 1
fi

mysqld --initialize-insecure "$@"
# The server that seeds listens on the socket only, so no probe takes it for the real one.
mysqld --skip-networking --mysqlx=OFF "$@" &
server=$!
until mysqladmin --user=root ping >/dev/null 2>&1; do
	kill -0 "$server"
	sleep 0.2
done
# printf, for dash's echo takes backslashes out.
{
	[ -z "$MYSQL_DATABASE" ] || printf 'CREATE DATABASE IF NOT EXISTS %s;\n' "$(name "$MYSQL_DATABASE")"
	if [ -n "$MYSQL_USER" ]; then
		printf "CREATE USER %s@'%%' IDENTIFIED BY %s;\n" "$(string "$MYSQL_USER")" "$(string "$MYSQL_PASSWORD")"
		[ -z "$MYSQL_DATABASE" ] || printf "GRANT ALL ON %s.* TO %s@'%%';\n" "$(name "$MYSQL_DATABASE")" "$(string "$MYSQL_USER")"
	fi
	printf 'CREATE USER root@%s IDENTIFIED BY %s;\n' "$(string "$MYSQL_ROOT_HOST")" "$(string "$MYSQL_ROOT_PASSWORD")"
	printf 'GRANT ALL ON *.* TO root@%s WITH GRANT OPTION;\n' "$(string "$MYSQL_ROOT_HOST")"
	printf 'ALTER USER root@localhost IDENTIFIED BY %s;\n' "$(string "$MYSQL_ROOT_PASSWORD")"
} | mysql --user=root
query() { MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --user=root "$@"; }
for seed in /docker-entrypoint-initdb.d/*; do
	case $seed in
	*.sh) sh "$seed" ;;
	*.sql) query ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} <"$seed" ;;
	*.sql.gz) gunzip -c "$seed" | query ${MYSQL_DATABASE:+"$MYSQL_DATABASE"} ;;
	esac
done
kill "$server"
wait "$server"
exec mysqld "$@"

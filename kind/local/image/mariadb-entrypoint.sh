#!/bin/sh
# First process of the mariadb image: the official image's conventions (MARIADB_* and MYSQL_*,
# NAME_FILE, /docker-entrypoint-initdb.d), then the server itself as process 1.
set -eu

# either NAME: sets NAME from MARIADB_NAME, MYSQL_NAME or the file that either's _FILE names.
either() {
	eval "value=\${MARIADB_$1-} file=\${MARIADB_$1_FILE-}"
	[ -n "$value$file" ] || eval "value=\${MYSQL_$1-} file=\${MYSQL_$1_FILE-}"
	[ -z "$file" ] || value=$(cat "$file")
	eval "$1=\$value"
}
string() { printf "'%s'" "$(printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g")"; }
# shellcheck disable=SC2016
name() { printf '`%s`' "$(printf %s "$1" | sed 's/`/``/g')"; }
as_server() {
	shift
	exec mariadbd --datadir="$data" --bind-address=0.0.0.0 --skip-name-resolve "$@"
}

case ${1-} in '' | -*) set -- mariadbd "$@" ;; esac
[ "$1" = mariadbd ] || exec "$@"

data=/var/lib/mysql
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$data" /run/mysqld
	chown mysql: "$data" /run/mysqld
	exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
fi
[ ! -d "$data/mysql" ] || as_server "$@"
shift

ROOT_PASSWORD='' DATABASE='' USER='' PASSWORD=''
for variable in ROOT_PASSWORD DATABASE USER PASSWORD; do either "$variable"; done
if [ -z "$ROOT_PASSWORD" ]; then
	echo 'MARIADB_ROOT_PASSWORD must be set' >&2
	exit 1
fi

mariadb-install-db --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
mariadbd --datadir="$data" --skip-networking --skip-name-resolve "$@" &
server=$!
until mariadb-admin --user=root ping >/dev/null 2>&1; do
	kill -0 "$server"
	sleep 0.2
done
# printf, for dash's echo takes backslashes out.
{
	[ -z "$DATABASE" ] || printf 'CREATE DATABASE IF NOT EXISTS %s;\n' "$(name "$DATABASE")"
	if [ -n "$USER" ]; then
		printf "CREATE USER %s@'%%' IDENTIFIED BY %s;\n" "$(string "$USER")" "$(string "$PASSWORD")"
		[ -z "$DATABASE" ] || printf "GRANT ALL ON %s.* TO %s@'%%';\n" "$(name "$DATABASE")" "$(string "$USER")"
	fi
	printf "CREATE USER root@'%%' IDENTIFIED BY %s;\n" "$(string "$ROOT_PASSWORD")"
	printf "GRANT ALL ON *.* TO root@'%%' WITH GRANT OPTION;\n"
	printf "DELETE FROM mysql.global_priv WHERE User = 'root' AND Host NOT IN ('localhost', '%%');\nFLUSH PRIVILEGES;\n"
	printf "ALTER USER root@localhost IDENTIFIED BY %s;\n" "$(string "$ROOT_PASSWORD")"
} | mariadb --user=root
query() { MYSQL_PWD=$ROOT_PASSWORD mariadb --user=root "$@"; }
for seed in /docker-entrypoint-initdb.d/*; do
	case $seed in
	*.sh) sh "$seed" ;;
	*.sql) query ${DATABASE:+"$DATABASE"} <"$seed" ;;
	*.sql.gz) gunzip -c "$seed" | query ${DATABASE:+"$DATABASE"} ;;
	esac
done
kill "$server"
wait "$server"
as_server mariadbd "$@"

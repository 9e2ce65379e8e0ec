#!/bin/sh
# First process of the postgres image: the official image's conventions (POSTGRES_*, NAME_FILE,
# PGDATA, /docker-entrypoint-initdb.d), then the server itself as process 1.
# One difference, on purpose: connections to 127.0.0.1 need the password too, where the official
# image trusts them; so a wrong password is a failure in tests. The socket is trusted, as there.
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

as_server() {
	[ "$1" = postgres ] || exec "$@"
	shift
	exec postgres -c listen_addresses='*' "$@"
}

case ${1-} in '' | -*) set -- postgres "$@" ;; esac
[ "$1" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /var/run/postgresql
	chown postgres: "$PGDATA" /var/run/postgresql
	chmod 700 "$PGDATA"
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
[ ! -s "$PGDATA/PG_VERSION" ] || as_server "$@"

from_file POSTGRES_USER postgres
from_file POSTGRES_PASSWORD
from_file POSTGRES_DB "$POSTGRES_USER"
from_file POSTGRES_INITDB_ARGS
method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
if [ -z "$POSTGRES_PASSWORD" ] && [ "$method" != trust ]; then
	echo 'POSTGRES_PASSWORD must be set (or POSTGRES_HOST_AUTH_METHOD=trust)' >&2
	exit 1
fi

umask 077
pwfile=$(mktemp)
printf '%s\n' "$POSTGRES_PASSWORD" >"$pwfile"
# The arguments are shell text, as in the official image.
eval 'initdb --username="$POSTGRES_USER" ${POSTGRES_PASSWORD:+--pwfile="$pwfile"} \
	--auth-local=trust --auth-host="$method" '"$POSTGRES_INITDB_ARGS"
rm -f "$pwfile"
printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"

# The server that seeds listens on the socket only, so no probe takes it for the real one.
pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
query() { psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password "$@"; }
if [ "$POSTGRES_DB" != postgres ]; then
	echo 'CREATE DATABASE :"db";' | query --dbname postgres --set db="$POSTGRES_DB"
fi
for seed in /docker-entrypoint-initdb.d/*; do
	case $seed in
	*.sh) sh "$seed" ;;
	*.sql) query --dbname "$POSTGRES_DB" --quiet --file "$seed" ;;
	*.sql.gz) gunzip -c "$seed" | query --dbname "$POSTGRES_DB" --quiet ;;
	esac
done
pg_ctl -D "$PGDATA" -m fast -w stop
as_server "$@"

#!/bin/bash
# pg_dump --clean --if-exists of PostgreSQL 15.20 (Debian bookworm) writes a script that replaces what it finds, so one expects it to
# load into the database that it was made of, and into a new one. Two plain schemas break each of these.
# 1. A partitioned table with a primary key: the script first drops the key of each partition by itself, which the server refuses
#    because it is inherited. It cannot be loaded into the very database that it was made of.
# 2. A view whose function returns the view's own row type: the script begins with CREATE OR REPLACE VIEW, before the schema is
#    made, to take the cycle apart. It cannot be loaded into a new database, although every DROP says IF EXISTS.
# Exits 0 where both are seen, 1 where that changed, 2 where it cannot be tried. As root it runs the server as the user `nobody`.
set -eu
work=$(mktemp -d)
trap 'as "$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null 2>&1 || :; rm -rf "$work"' EXIT
bin=$work/tree/usr/lib/postgresql/15/bin
version=15.20-0+deb12u1
cd "$work"
chmod 755 "$work"
for package in postgresql-15 postgresql-client-15 libpq5; do
	apt-get download "$package=$version" >/dev/null 2>&1 || { echo "cannot be tried: $package $version cannot be downloaded"; exit 2; }
	dpkg-deb -x "$package"_*.deb tree
done
export LD_LIBRARY_PATH=$work/tree/usr/lib/x86_64-linux-gnu
as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"; else "$@"; fi; }
mkdir data
if [ "$(id -u)" = 0 ]; then chown 65534:65534 data "$work"; fi
as "$bin/initdb" --no-sync --auth=trust --username=me --encoding=UTF8 --locale=C -L "$work/tree/usr/share/postgresql/15" -D data >/dev/null
as "$bin/pg_ctl" -D data -w -l "$work/log" -o "-c listen_addresses= -k $work" start >/dev/null ||
	{ cat log; echo "cannot be tried: the server does not start"; exit 2; }
sql() { "$bin/psql" -XqAt -h "$work" -U me -v ON_ERROR_STOP=1 "$@"; }
dump() { "$bin/pg_dump" -h "$work" -U me --clean --if-exists "$1" >"$1.sql"; }
"$bin/pg_dump" --version
seen=0

sql -d postgres -c 'CREATE DATABASE parts' -c 'CREATE DATABASE cycle' -c 'CREATE DATABASE new'
sql -d parts <<'SQL'
CREATE TABLE events (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (1) TO (100);
SQL
dump parts
said=$(sql -d parts -f parts.sql 2>&1) && said='no error'
echo "a partitioned table, over itself: ${said##*$'\n'}"
case $said in *'cannot drop inherited constraint "events_1_pkey" of relation "events_1"'*) seen=$((seen + 1)) ;; esac

sql -d cycle <<'SQL'
CREATE SCHEMA s;
CREATE VIEW s.v AS SELECT 1 AS x;
CREATE FUNCTION s.f() RETURNS SETOF s.v LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE VIEW s.v AS SELECT x FROM s.f();
SQL
dump cycle
said=$(sql -d new -f cycle.sql 2>&1) && said='no error'
echo "a view through a function of its own type, into a new database: ${said##*$'\n'}"
case $said in *'schema "s" does not exist'*) seen=$((seen + 1)) ;; esac
[ "$seen" = 2 ] || { echo "changed: $seen of 2 were seen"; exit 1; }

#!/bin/sh
# Measures a load of one table out of a dump of many, beside a load of all of it by the bare client and by ours. Started by bench.sh.
#   ROWS=1000000   of each table: some 130 MB of text for a million
#   TABLES=10      as large as each other; the one in the middle is loaded
# The volume needs three times the size of the text.
# shellcheck disable=SC2016 # much of it is for the container's shell
set -eu
# shellcheck source=SCRIPTDIR/bench-common.sh
. "$(dirname "$0")/bench-common.sh"
ROWS=${ROWS:-1000000} TABLES=${TABLES:-10}
namespace=bench-table-$$
trap 'rm -rf "$work"; "$real" delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null' EXIT
trap 'exit 1' HUP INT TERM

demo postgres postgres:15
{
	# What it does after a load would fall into the next one.
	echo 'ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf(); SET client_min_messages = warning;'
	echo 'DROP SCHEMA public CASCADE; CREATE SCHEMA public;'
	orders t1 "$ROWS"
	for table in $(seq 2 "$TABLES"); do echo "CREATE TABLE t$table AS TABLE t1;"; done
	for table in $(seq "$TABLES"); do
		echo "ALTER TABLE t$table ADD PRIMARY KEY (i); CREATE INDEX ON t$table (customer); CREATE INDEX ON t$table (placed);"
	done
	echo 'CHECKPOINT;'
} | sql >/dev/null
table=t$((TABLES / 2))
text=$(inside 'pg_dump | wc -c')

# clear: an empty database, whose files are gone.
clear() { echo 'SET client_min_messages = warning; DROP SCHEMA public CASCADE; CREATE SCHEMA public; CHECKPOINT;' | sql; }
is_whole() { [ "$(echo "SELECT count(*) FROM $1" | sql)" = "$ROWS" ] || die "$1 has other rows than $ROWS"; }

# measure FORMAT TOOL: bare, ours and one table, of a dump in that format; leaves the database full.
measure() {
	export BAK_DB_POSTGRES_DUMP_FILE=/var/lib/postgresql/data/dump.sql."$1"
	"$ours" postgres dump -n "$namespace" >/dev/null 2>"$work/log" || die "postgres dump: $(tail -n 5 "$work/log")"
	clear
	inside "began=\$(date +%s%N); $2 -dc $BAK_DB_POSTGRES_DUMP_FILE | psql -d app -Xq -1 -v ON_ERROR_STOP=1 >/dev/null
		echo \"\$began \$(date +%s%N)\"" | awk '{ printf "%.2f\n", ($2 - $1) / 1e9 }' >"$work/bare.seconds"
	is_whole "$table"
	rm -f "$work/one".* "$work/ours".*
	run one "$ours" postgres restore --table "public.$table" --table-as public.one -n "$namespace" --yes
	is_whole one
	clear
	run ours "$ours" postgres restore -n "$namespace" --yes
	is_whole "$table"
	echo "one of $TABLES tables of $ROWS rows out of a .sql.$1 of $((text / 1000000)) MB of text"
	echo "  bare $2 | psql, all of it: $(seconds bare) s"
	echo "  ours, all of it: $(seconds ours) s, of which load $(step load) s"
	echo "  ours, --table: $(seconds one) s"
	target "--table, times as fast as the bare load of all, .sql.$1" "$(ratio "$(seconds bare)" "$(seconds one)")" least 5
	echo "  --table, times as fast as our load of all: $(ratio "$(seconds ours)" "$(seconds one)")"
	unset BAK_DB_POSTGRES_DUMP_FILE
	inside "rm /var/lib/postgresql/data/dump.sql.$1"
}
measure zst zstd
measure gz gzip

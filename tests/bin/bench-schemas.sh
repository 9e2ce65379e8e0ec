#!/bin/sh
# Measures a database of many small tables, with a hundred roles: `create` against the bare pg_dump, and `verify` against the bare
# load. Started by bench.sh.
# shellcheck disable=SC2016 # much of it is for the container's shell
set -eu
# shellcheck source=SCRIPTDIR/bench-common.sh
. "$(dirname "$0")/bench-common.sh"
namespace=bench-schemas-$$
trap 'rm -rf "$work"; "$real" delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null' EXIT
trap 'exit 1' HUP INT TERM

demo postgres postgres:15
sql <<'SQL'
DO $$ BEGIN
	FOR r IN 1..100 LOOP EXECUTE format('CREATE ROLE reader%s LOGIN PASSWORD %L', r, 'word' || r); END LOOP;
END $$;
SQL
# A transaction a schema: 4,000 tables in one would take more locks than the server has.
for schema in $(seq 20); do
	cat <<-SQL
		DO \$\$ BEGIN
			CREATE SCHEMA s$schema;
			FOR t IN 1..200 LOOP
				EXECUTE format('CREATE TABLE s$schema.t%s (id serial PRIMARY KEY, owner int NOT NULL CHECK (owner >= 0), name text, at timestamptz DEFAULT now())', t);
				EXECUTE format('CREATE INDEX ON s$schema.t%s (owner)', t);
				EXECUTE format('INSERT INTO s$schema.t%s (owner, name) SELECT i, md5(i::text) FROM generate_series(1, 20) i', t);
				EXECUTE format('GRANT SELECT ON s$schema.t%s TO reader%s', t, 1 + t % 100);
				EXECUTE format('COMMENT ON TABLE s$schema.t%s IS %L', t, 'table ' || t);
			END LOOP;
		END \$\$;
	SQL
done | sql
echo 'VACUUM ANALYZE' | sql

for _ in $(seq "$RUNS"); do
	inside 'began=$(date +%s%N); pg_dump --clean --if-exists app >/dev/null; echo "$began $(date +%s%N)"' |
		awk '{ printf "%.2f\n", ($2 - $1) / 1e9 }' >>"$work/pg_dump"
	run ours "$ours" create -n "$namespace" --db-postgres -o json
	dump_and_proof >>"$work/ours.dump"
	cp "$work/out" "$work/report"
	name=$(snapshot_of "$work/report")
	inside 'createdb loaded; began=$(date +%s%N); gzip -dc /var/lib/postgresql/data/dump.sql.gz | psql -d loaded -Xq -1 >/dev/null 2>&1
		echo "$began $(date +%s%N)"; dropdb loaded' | awk '{ printf "%.2f\n", ($2 - $1) / 1e9 }' >>"$work/load"
	run verify "$ours" verify "$name" -n "$namespace" -o json
	step load >>"$work/verify.load"
	delete_snapshot "$namespace" "$work/report"
done
of() { median <"$work/$1"; }
echo "20 schemas of 200 tables, with 100 roles (medians of $RUNS)"
echo "  create: $(figures ours)"
echo "  verify: $(figures verify)"
echo "  dump and proof $(of ours.dump) s, bare pg_dump >/dev/null $(of pg_dump) s; load and comparison $(of verify.load) s, bare load $(of load) s"
target "dump and proof, times as long as bare pg_dump" "$(ratio "$(of ours.dump)" "$(of pg_dump)")" most 1.15
target "load and comparison of verify, times as long as the bare load" "$(ratio "$(of verify.load)" "$(of load)")" most 1.3

# PostgreSQL's part of databases.sh.

# db_list_databases: reports each database as `database NAME`, or as `unfit NAME` if its name holds control characters. Left out
# are templates, those that take no connections, and those whose removal was interrupted, which have the limit -2. It asks the first
# database that answers.
db_list_databases() {
  for name in "$PGDATABASE" postgres template1; do
    PGDATABASE=$name
    psql --no-psqlrc --no-password --quiet --no-align --tuples-only --command "
      SELECT '$NONCE ' || CASE WHEN datname ~ '[[:cntrl:]]' THEN 'unfit ' ELSE 'database ' END
        || pg_catalog.regexp_replace(datname::text, '[[:cntrl:]]', ' ', 'g')
      FROM pg_catalog.pg_database WHERE NOT datistemplate AND datallowconn AND datconnlimit <> -2 ORDER BY datname" && return
  done
  return 1
}

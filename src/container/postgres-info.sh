# PostgreSQL's part of what is told of a database.

# db_info: what the database is like, a line each: `size`, `tables`, and of the ten biggest tables bytes, rows and name.
db_info() {
  say version "$(ask 'SHOW server_version')"
  say size "$(ask 'SELECT pg_catalog.pg_database_size(pg_catalog.current_database())')"
  tables="FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'"
  say tables "$(ask "SELECT count(*) $tables")"
  ask "SELECT pg_catalog.pg_total_relation_size(c.oid) || ' ' ||
      CASE WHEN c.reltuples > 0 THEN c.reltuples::bigint ELSE pg_catalog.pg_stat_get_live_tuples(c.oid) END || ' ' ||
      pg_catalog.translate(n.nspname || '.' || c.relname, E'\r\n', '  ')
    $tables ORDER BY pg_catalog.pg_total_relation_size(c.oid) DESC, 1 LIMIT 10"
}

# ask QUERY: the answer. The shell waits for psql, whose status is not 0 or 1 where it fails.
ask() {
  psql --no-psqlrc --no-password --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --command "$1" || return 1
}

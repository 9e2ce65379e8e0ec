# PostgreSQL's part of info.sh.

# db_info: reports `version`, `size` and `tables`, and prints bytes, rows and name of the ten biggest tables.
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

# ask QUERY: prints the answer. Does not exec psql, whose status may be above 1; see common.sh.
ask() {
  psql --no-psqlrc --no-password --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --command "$1" || return 1
}

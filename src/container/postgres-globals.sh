# PostgreSQL's part of globals.sh: its roles and tablespaces, as pg_dumpall writes them.

db_globals_of=roles
db_globals_tool=pg_dumpall

# db_globals_mode: prints `yes` if the user may read the hashes of passwords. It execs the tool, as db_globals does.
db_globals_mode() {
  exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --command "
    SELECT CASE WHEN pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') THEN 'yes' ELSE 'no' END"
}

# db_globals PASSWORDS: writes them to stdout, with the hashes if PASSWORDS is `yes`. The database is named as a connection string,
# because pg_dumpall would otherwise take a name with `=` for one, and would connect to the database postgres without a name.
db_globals() {
  quote_for_libpq "$PGDATABASE"
  set -- "$1" --no-password --globals-only --database="dbname=$quoted"
  if [ "$1" != yes ]; then set -- "$@" --no-role-passwords; fi
  shift
  exec pg_dumpall "$@"
}

# quote_for_libpq TEXT: puts TEXT in $quoted as a value of a connection string.
quote_for_libpq() {
  rest=$1 quoted=
  while [ -n "$rest" ]; do
    first=${rest%"${rest#?}"}
    rest=${rest#?}
    case $first in \\ | "'") quoted=$quoted\\$first ;; *) quoted=$quoted$first ;; esac
  done
  quoted="'$quoted'"
}

# db_globals_are_complete TAIL: whether TAIL is the end of a whole file.
db_globals_are_complete() {
  case $1 in *"$nl--$nl-- PostgreSQL database cluster dump complete$nl--") return 0 ;; esac
  return 1
}

# db_count_globals: prints how many roles the file on stdin makes.
db_count_globals() { db_list_roles | wc -l; }

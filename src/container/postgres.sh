# PostgreSQL's part of a session: which tools, how to connect, how to dump, how a whole dump ends. Parameters go to
# libpq through its environment, so that nothing of them stands in an argument list and no name is taken for options.

DB_TOOLS='pg_dump psql'
CLIENT=psql

# db_take: the connection's parameters from stdin, with the defaults of the official image.
db_take() {
  take && PGHOST=$VALUE
  take && PGPORT=$VALUE
  take && { resolve "$VALUE" || VALUE=postgres; } && PGUSER=$VALUE
  take && if resolve "$VALUE"; then export PGPASSWORD="$VALUE"; fi
  take && { resolve "$VALUE" || VALUE=$PGUSER; } && PGDATABASE=$VALUE
  export PGHOST PGPORT PGUSER PGDATABASE PGAPPNAME=backup-ns PGCONNECT_TIMEOUT=15
}

db_version() { pg_dump --version; }

# db_name: what is dumped, however its name was found.
db_name() { printf '%s' "$PGDATABASE"; }

# db_answers, db_dump: a question, and the dump on stdout. Each replaces the shell that it is called in, so that its process
# id is the tool's.
db_answers() { exec psql --no-psqlrc --no-password --quiet --tuples-only --command 'SELECT 1' >/dev/null; }
db_dump() { exec pg_dump --no-password --format=plain --clean --if-exists; }

# db_facts: what there is to dump, and what its user may do, a line of the report each: the number of tables, and the first
# tables and sequences that pg_dump reads and the user may not. What an extension made is not for pg_dump to read.
db_facts() {
  exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --command "
    WITH all_of_it AS (
      SELECT c.oid, c.relkind, n.oid AS schema, pg_catalog.translate(n.nspname || '.' || c.relname, E'\r\n', '  ') AS name
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'))
    SELECT '$NONCE account ' || current_user
    UNION ALL SELECT '$NONCE tables ' || count(*) FROM all_of_it WHERE relkind <> 'S'
    UNION ALL (SELECT '$NONCE unreadable ' || name FROM all_of_it
      WHERE NOT (pg_catalog.has_schema_privilege(schema, 'USAGE') AND pg_catalog.has_table_privilege(oid, 'SELECT'))
        OR relkind = 'r' AND pg_catalog.row_security_active(oid)
      ORDER BY name LIMIT 4)"
}

# db_complete TAIL: whether the end of the plain text is the end of a whole dump: the closing comment, behind which recent
# versions (17.6, 16.10, 15.14, 14.19, 13.22) write `\unrestrict KEY`. A row that looks like the comment is not the end.
db_complete() {
  end=$1
  last=${end##*"$nl"}
  case $last in
  '\unrestrict '*)
    end=${end%"$nl$last"}
    end=$(stripped "$end")
    ;;
  esac
  case $end in *"$nl--$nl-- PostgreSQL database dump complete$nl--") return 0 ;; esac
  return 1
}

# db_shell: the client, for a person.
db_shell() { exec psql; }

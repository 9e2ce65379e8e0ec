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
db_unsteady() { :; }
db_dump() { exec pg_dump --no-password --format=plain --clean --if-exists; }

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

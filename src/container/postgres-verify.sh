# PostgreSQL's part of a restore test: a scratch server, and what a dump holds. Nothing in it listens but a socket.

STOP=INT
NOT_THE_DUMP='no space left|could not extend file|out of memory|shared_preload_libraries|extension control file|is not available|role ".*" does not exist|server closed the connection|could not access file|"default_tablespace"'

db_tools() {
  for dir in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /opt/*/postgresql/bin; do
    if [ -d "$dir" ]; then PATH=$PATH:$dir; fi
  done
  missing_tools postgres initdb psql pg_dump
  export PGHOST="$SCRATCH" PGPORT=5432 PGUSER=backup_ns_verify
  unset PGDATABASE PGPASSWORD PGDATA
}

db_server() { postgres --version; }

# db_facts: what the text holds: encoding, tablespaces and roles that must be there, and the rows of each table. A role too
# many does no harm. Data begins with a comment that says so, so that no function's text is taken for it.
db_facts() {
  awk '
    function ident(text) {
      if (match(text, /^"([^"]|"")*"/) || match(text, /^[^ ",;.()]+/)) return substr(text, 1, RLENGTH)
      return ""
    }
    function role(name) {
      if (name == "" || name == "PUBLIC" || name == "CURRENT_USER" || name == "SESSION_USER") return
      if (name !~ /^"/) name = "\"" name "\""
      if (name ~ /^"pg_/ || name in known) return
      known[name]
      print "role\t" name
    }
    function roles(text, name) {
      while (match(text, / (TO|FROM|FOR ROLE|MAPPING FOR) /)) {
        text = substr(text, RSTART + RLENGTH - 1)
        do {
          text = substr(text, 2)
          name = ident(text)
          role(name)
          text = substr(text, length(name) + 1)
        } while (name != "" && sub(/^,/, "", text))
        text = " " text
      }
    }
    copying {
      if ($0 == "\\.") {
        printf "table\t%.0f\t%s\n", rows, table
        copying = 0
      } else rows++
      next
    }
    /^-- Data for Name: .*; Type: TABLE DATA; / { data = 1 }
    data && /^COPY .* FROM stdin;$/ {
      rest = substr($0, 6)
      table = ident(rest)
      rest = substr(rest, length(table) + 1)
      if (rest ~ /^\./) table = table "." ident(substr(rest, 2))
      rows = data = 0
      copying = 1
      next
    }
    /^SET client_encoding = / && !encoding {
      encoding = $0
      gsub(/^[^\047]*\047|\047.*$/, "", encoding)
      print "encoding\t" encoding
    }
    /^SET default_tablespace = [^\047]/ && !($0 in known) {
      known[$0]
      print "place\t" substr($0, 26, length($0) - 26)
    }
    /^(GRANT|REVOKE|ALTER|CREATE POLICY|CREATE USER MAPPING) / { roles($0) }'
}

# The text does not name its database; its hash does.
db_header() { :; }

db_up() { psql -X -d template1 -c 'SELECT 1'; }

db_make() {
  user_of postgres
  folder data
  encoding=$(sed -n 's/^encoding.//p' "$SCRATCH/facts")
  (as initdb --no-sync --auth=trust --locale=C --encoding="${encoding:-UTF8}" --username="$PGUSER" -D "$made") \
    >"$SCRATCH/log" 2>&1 3<&- || lost 'initdb failed'
  server_start postgres -D "$made" -c listen_addresses= -c unix_socket_directories="$SCRATCH" \
    -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_wal_size=1GB -c autovacuum=off \
    -c log_min_error_statement=panic -c log_error_verbosity=terse || lost 'the scratch server does not start'
  # Roles as superusers, because memberships are in no dump. Tablespaces within the data directory.
  {
    echo 'SET allow_in_place_tablespaces = on;'
    sed -n -e 's/^role.\(.*\)/CREATE ROLE \1 SUPERUSER;/p' \
      -e "s/^place.\(.*\)/CREATE TABLESPACE \1 LOCATION '';/p" "$SCRATCH/facts"
  } | psql -X -q -d template1 >/dev/null 2>&1
  case $DATABASE in
  postgres | template1) ;;
  *)
    echo 'CREATE DATABASE :"name" TEMPLATE template0' |
      psql -X -q -d template1 -v ON_ERROR_STOP=1 -v name="$DATABASE" 2>"$SCRATCH/errors" ||
      lost 'the scratch database cannot be made'
    ;;
  esac
  export PGDATABASE="$DATABASE"
}

db_load() { psql -X -q -v ON_ERROR_STOP=1 -v VERBOSITY=terse -f -; }

# An extension brings rows of its own into its tables.
db_counts() {
  awk -F '\t' '$1 == "table" {
    name = literal = substr($0, length($2) + 8)
    gsub(/\047/, "\047\047", literal)
    printf "SELECT %d, %s, count(*), ", ++number, $2
    printf "(SELECT count(*) FROM pg_depend WHERE classid = \047pg_class\047::regclass AND deptype = \047e\047"
    printf " AND objid = \047%s\047::regclass) FROM ONLY %s;\n", literal, name
  }' "$SCRATCH/facts"
}

db_ask() { psql -X -A -t -q -F ' ' -v ON_ERROR_STOP=1 -v VERBOSITY=terse; }

db_find() { in_volume PG_VERSION global base; }

# db_start_on FOLDER: with the configuration that is there, except for what leads out of it.
db_start_on() {
  # Of the server that was running when the snapshot was cut.
  rm -f "$1/postmaster.pid"
  # A volume's group may have been given rights in it, which the server refuses.
  chmod 700 "$1" 2>/dev/null
  echo 'local all all trust' >"$SCRATCH/hba"
  : >"$SCRATCH/empty"
  chmod 644 "$SCRATCH/hba" "$SCRATCH/empty"
  config=$1/postgresql.conf
  [ -f "$config" ] || config=$SCRATCH/empty
  set -- -D "$1" -c config_file="$config" -c data_directory="$1" -c hba_file="$SCRATCH/hba" -c ident_file="$SCRATCH/empty" \
    -c external_pid_file= -c listen_addresses= -c unix_socket_directories="$SCRATCH" -c port=5432 -c ssl=off \
    -c logging_collector=off -c log_destination=stderr -c log_min_error_statement=panic -c log_error_verbosity=terse \
    -c archive_mode=off -c fsync=off -c autovacuum=off -c shared_buffers=128MB -c huge_pages=off
  # Alone with the files one needs no name to make oneself one. This recovers them, too; a standby does that by itself.
  if [ ! -e "$2/standby.signal" ]; then
    echo "CREATE ROLE $PGUSER SUPERUSER LOGIN" | (as postgres --single "$@" template1) >>"$SCRATCH/log" 2>&1 3<&- || return 1
  fi
  server_start postgres "$@"
}

db_read() {
  if [ -n "$DATABASE" ]; then
    PGDATABASE=$DATABASE pg_dump >/dev/null
    return
  fi
  psql -X -A -t -q -d template1 -c 'SELECT datname FROM pg_database WHERE datallowconn' >"$SCRATCH/databases" || return 1
  while IFS= read -r name; do
    PGDATABASE=$name pg_dump >/dev/null || return 1
  done <"$SCRATCH/databases"
}

# PostgreSQL's part of a restore test: a scratch server that listens on a socket only, and what a dump holds.

STOP=INT
GLOBALS_OF=roles
NO_ROOM='no space left|could not extend file|disk full|disk quota'
NO_MEMORY='out of memory|could not resize shared memory|terminated by signal 9'
LACKING='could not access file|could not load library|extension control file|is not available|invalid locale name|could not create locale|ICU is not supported|locale ".*" does not exist'
# The SQLSTATEs syntax_error and bad_copy_file_format.
DUMP_AT_FAULT='ERROR:  (42601|22P04): '
DATA_AT_FAULT='could not locate a (valid|required) checkpoint record|invalid (primary )?checkpoint|incorrect checksum in control file|invalid page in block|missing chunk number|unexpected chunk number|compressed .* data is corrupt|could not read block [0-9]+ in file .* read only|could not open file "(base/|(.*/)?global/pg_control).*No such file'
NOT_THE_DATA='permission denied|input/output error'

db_find_tools() {
  for dir in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /opt/*/postgresql/bin; do
    if [ -d "$dir" ]; then PATH=$PATH:$dir; fi
  done
  require_tools postgres initdb psql pg_dump
  export PGHOST="$SCRATCH" PGPORT=5432 PGUSER=backup_ns_verify
  unset PGDATABASE PGPASSWORD PGDATA
}

db_server_version() { postgres --version; }

# db_check_header: the dump does not name its database. Its SHA-256 has been checked.
db_check_header() { :; }

db_is_up() { psql -X -d template1 -c 'SELECT 1'; }

# db_is_same_version: whether the scratch server is of the same major version as the original.
db_is_same_version() {
  was=$(proof_property version)
  is=$(postgres --version | sed 's/^[^0-9]*//')
  [ -n "$was" ] && [ "${was%%[!0-9]*}" = "${is%%[!0-9]*}" ]
}

# create_database OPTION...: creates the scratch database. The options are SQL that refers to psql's variables.
create_database() {
  printf '%s\n' "CREATE DATABASE :\"name\" TEMPLATE template0 $*" |
    psql -X -q -d "$other" -v ON_ERROR_STOP=1 -v name="$DATABASE" -v encoding="${encoding:-UTF8}" -v collate="$collate" \
      -v ctype="$ctype" -v locale="$(proof_property locale)" -v rules="$(proof_property icuRules)" >/dev/null 2>"$SCRATCH/errors"
}

# with_locale: creates the scratch database with the locale from the proof, or else with one that most images have.
with_locale() {
  collate=$(proof_property collate) ctype=$(proof_property ctype)
  # shellcheck disable=SC2016 # psql's variables
  how="ENCODING :'encoding' LC_COLLATE :'collate' LC_CTYPE :'ctype'"
  case $(proof_property localeProvider) in
  i) how="$how LOCALE_PROVIDER icu ICU_LOCALE :'locale'" ;;
  b) how="$how LOCALE_PROVIDER builtin BUILTIN_LOCALE :'locale'" ;;
  esac
  if [ -n "$(proof_property icuRules)" ]; then how="$how ICU_RULES :'rules'"; fi
  if [ -n "$collate" ]; then
    create_database "$how"
    return
  fi
  for collate in en_US.utf8 C.UTF-8 C; do
    ctype=$collate
    if create_database "$how"; then return; fi
  done
  create_database "ENCODING :'encoding'"
}

# start_scratch OPTION...: starts the scratch server, without background workers of extensions, because a job could change what
# was loaded. It has room for the locks of db_test_replace, about four for an entry of the dump, with a hundred connections.
start_scratch() {
  start_server postgres -D "$data" -c listen_addresses= -c unix_socket_directories="$SCRATCH" \
    -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_wal_size=1GB -c autovacuum=off \
    -c log_min_error_statement=panic -c log_error_verbosity=terse -c max_worker_processes=0 \
    -c max_locks_per_transaction="$((64 + $(sed -n 's/^entries.//p' "$SCRATCH/facts") / 16))" "$@"
}

# make_recorded_roles: makes the roles of the file beside the dump.
make_recorded_roles() {
  [ -n "$GLOBALS" ] || return 0
  psql -X -A -t -q -d template1 -c "SELECT 'role ' || quote_ident(rolname) FROM pg_roles" |
    sed 's/^role \([^"].*\)$/role "\1"/' >"$SCRATCH/known"
  filter_roles "$SCRATCH/known" /dev/null <"$GLOBALS" >"$SCRATCH/roles" || lost space 'nothing can be written in the scratch volume'
  psql -X -q -d template1 -v ON_ERROR_STOP=1 -f "$SCRATCH/roles" >/dev/null 2>"$SCRATCH/errors" || {
    lost_for_known_cause 'the recorded roles cannot be made' 0
    lost load 'the recorded roles cannot be made'
  }
  all=$(psql -X -A -t -q -d template1 -c 'SELECT count(*) FROM pg_roles')
  say roles "$((${all:-0} - $(grep -c . "$SCRATCH/known")))"
  rm -f "$SCRATCH/roles"
}

db_make_server() {
  set_server_user postgres
  make_folder data
  data=$made
  encoding=$(proof_property encoding)
  [ -n "$encoding" ] || encoding=$(sed -n 's/^encoding.//p' "$SCRATCH/facts")
  (as_server_user initdb --no-sync --auth=trust --locale=C --encoding="${encoding:-UTF8}" --username="$PGUSER" -D "$data") \
    >"$SCRATCH/log" 2>&1 3<&- || {
    lost_for_known_cause 'initdb failed' 0
    if was_logged 'look up .*user'; then lost user 'the user of the pod has no name, which initdb wants'; fi
    lost other 'initdb failed'
  }
  # The settings from the proof. If the server does not start with them, it is started without any. Libraries only by name, and
  # no settings of languages, which may run code when the language starts.
  set --
  # shellcheck disable=SC2016 # PostgreSQL's variable
  libraries=$(proof_property shared_preload_libraries | sed 's/\$libdir\///g')
  case $libraries in '' | *[!A-Za-z0-9_,\"\ .-]*) ;; *) set -- -c "shared_preload_libraries=$libraries" ;; esac
  printf '%s' "$LIKE" | grep -E '^([A-Za-z_]+\.[A-Za-z0-9_.]+|search_path|TimeZone|DateStyle|IntervalStyle|lc_(monetary|numeric|time)|default_text_search_config|session_replication_role|transform_null_equals|array_nulls|xmlbinary|lo_compat_privileges|default_toast_compression) ' |
    grep -v -E '^pl[a-z]+\.' >"$SCRATCH/settings"
  while read -r name value; do set -- "$@" -c "$name=$value"; done <"$SCRATCH/settings"
  start_scratch "$@" || start_scratch || {
    lost_for_known_cause 'the scratch server does not start' 0
    lost other 'the scratch server does not start'
  }
  make_recorded_roles
  # Roles that are not recorded are superusers, because a dump holds no memberships. Tablespaces are within the data directory.
  {
    echo 'SET allow_in_place_tablespaces = on;'
    sed -n -e 's/^role.\(.*\)/CREATE ROLE \1 SUPERUSER;/p' \
      -e "s/^place.\(.*\)/CREATE TABLESPACE \1 LOCATION '';/p" "$SCRATCH/facts"
  } | psql -X -q -d template1 >/dev/null 2>&1
  other=template1
  if [ "$DATABASE" = template1 ]; then other=postgres; fi
  case $DATABASE in
  postgres | template1)
    printf '%s\n' 'ALTER DATABASE :"name" IS_TEMPLATE false;' 'DROP DATABASE :"name";' |
      psql -X -q -d "$other" -v ON_ERROR_STOP=1 -v name="$DATABASE" >/dev/null 2>"$SCRATCH/errors"
    ;;
  esac
  with_locale || {
    lost_for_known_cause 'the scratch database cannot be made' 0
    lost other 'the scratch database cannot be made'
  }
  export PGDATABASE="$DATABASE"
}

# db_filter: the same filter as in a load. Materialized views are filled later, each by itself, because what one reads may not be
# within reach.
db_filter() {
  : >"$SCRATCH/later"
  : >"$SCRATCH/schema"
  filter_for_replace "$SCRATCH/later" "$SCRATCH/schema"
}

db_load() { psql -X -q -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -f -; }

# db_after_load: fills the materialized views.
db_after_load() {
  psql -X -q -v VERBOSITY=verbose -f "$SCRATCH/later" >/dev/null 2>"$SCRATCH/errors"
  empty=$(tool_errors | grep -c 'ERROR: ')
  if [ "$empty" -gt 0 ]; then
    lost_for_known_cause 'the materialized views cannot be filled' 0
    server_is_running || lost memory 'the materialized views cannot be filled: the scratch server ended'
    tool_errors | tail -n 5 >&2
    say unfilled "$empty"
  fi
}

# db_test_replace: loads the dump again, without its rows, over the objects that are there by now, as a load into the original
# database does, and rolls that back. Fails with the reason in $why.
db_test_replace() {
  grep -q '^DROP ' "$SCRATCH/schema" || return 0
  say step replace
  how=undo
  {
    db_prologue
    cat "$SCRATCH/schema"
    db_epilogue
  } | psql -X -q -A -t -o /dev/null -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -f - >"$SCRATCH/replaced" 2>"$SCRATCH/errors"
  why='the dump can be loaded into a new database, but not over what is there'
  lost=$(sed -n "s/^$NONCE gone //p" "$SCRATCH/replaced" | head -n 1)
  [ -z "$lost" ] || why="$why: $lost would not come back"
  [ -z "$lost" ] && [ "$(tail -n 1 "$SCRATCH/replaced")" = "$NONCE" ]
}

# db_count_queries: prints the queries that count rows. More rows than in the dump are allowed in tables of extensions, which
# bring rows of their own, and in any table if there are event triggers. The rows of a partitioned table are counted through its
# root if the dump does not name their partitions.
db_count_queries() {
  grep -q '^table' "$SCRATCH/facts" || return 0
  awk -F '\t' '
    BEGIN { printf "CREATE TEMPORARY TABLE backup_ns_loaded AS SELECT * FROM (VALUES" }
    $1 == "table" {
      name = substr($0, length($2) + 8)
      gsub(/\047/, "\047\047", name)
      gsub(/\036/, "\n", name)
      printf "%s (%d, %s::numeric, \047%s\047::regclass)", comma, ++number, $2, name
      comma = ","
    }
    END { print ") of_dump (number, rows, rel);" }' "$SCRATCH/facts"
  cat <<'SQL'
SELECT format('SELECT %s, %s, count(*), (SELECT count(*) FROM pg_depend WHERE classid = ''pg_class''::regclass AND deptype = ''e''
    AND objid = %s) + (SELECT count(*) FROM pg_event_trigger WHERE evtenabled <> ''D'') FROM %s %s %s', number, rows, rel::oid,
  CASE relkind WHEN 'p' THEN '' ELSE 'ONLY' END, rel,
  CASE relkind WHEN 'p' THEN 'WHERE NOT tableoid = ANY (SELECT rel FROM pg_temp.backup_ns_loaded)' END)
FROM pg_temp.backup_ns_loaded JOIN pg_class c ON c.oid = rel ORDER BY number
\gexec
SQL
}

db_ask() { psql -X -A -t -q -F ' ' -v ON_ERROR_STOP=1 -v VERBOSITY=terse; }

db_find_data() { find_in_volume PG_VERSION global base; }

# db_fits FOLDER: whether the data is of the major version of this server; sets $of and $is to both.
db_fits() {
  of=$(cat "$1/PG_VERSION")
  is=$(postgres --version | sed 's/^[^0-9]*//')
  case $is in
  "$of" | "$of"[!0-9]*) ;;
  *) return 1 ;;
  esac
}

# db_check_major FOLDER: another major version cannot run on the data, which proves nothing about the data.
db_check_major() { db_fits "$1" || lost version "the data directory is of PostgreSQL $of, the image has PostgreSQL $is"; }

# db_find_places FOLDER: leads each tablespace to its files in this volume, which was mounted at another path. If they are not in
# it, they are on another volume, and the test cannot be made. Two tablespaces whose paths end alike are not taken for one.
db_find_places() {
  taken=$nl
  for link in "$1"/pg_tblspc/*; do
    [ -L "$link" ] || continue
    place=$(readlink "$link")
    if find_place "$1" "$place"; then
      case $taken in *"$nl$found_place$nl"*) found_place= ;; esac
    else
      found_place=
    fi
    [ -n "$found_place" ] || lost place "the tablespace at $place (pg_tblspc/${link##*/}) is not in this volume"
    taken=$taken$found_place$nl
    ln -sfn "$found_place" "$link" || lost space 'nothing can be written in the volume'
  done
}

# find_place FOLDER PATH: puts in $found_place the directory that ends as PATH does, below a directory from FOLDER up to the
# volume's root, and that has files of the server's version.
find_place() {
  case $2 in */../* | */..) return 1 ;; /*) ;; *) return 1 ;; esac
  below=$2
  while [ -n "$below" ]; do
    top=$1
    while :; do
      found_place=$top$below
      for of in "$found_place/PG_$(cat "$1/PG_VERSION")_"*; do [ ! -d "$of" ] || return 0; done
      case $top in "$VOLUME" | '') break ;; esac
      top=${top%/*}
    done
    below=${below#/}
    case $below in */*) below=/${below#*/} ;; *) below= ;; esac
  done
  return 1
}

# db_start_on_data FOLDER: starts the server with the configuration in FOLDER, without network, archiving and other paths.
db_start_on_data() {
  # This file is of the server that was running when the snapshot was cut.
  rm -f "$1/postmaster.pid"
  # fsGroup may have given the volume's group rights in it, which the server refuses.
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
  # Single-user mode needs no role, so it can create the one for the test. It also recovers the data. A standby does not start in
  # this mode; it recovers by itself.
  if [ ! -e "$2/standby.signal" ]; then
    echo "CREATE ROLE $PGUSER SUPERUSER LOGIN" | (as_server_user postgres --single "$@" template1) >>"$SCRATCH/log" 2>&1 3<&- || return 1
  fi
  start_server postgres "$@"
}

db_read_data() {
  if [ -n "$DATABASE" ]; then
    PGDATABASE=$DATABASE pg_dump >/dev/null
    return
  fi
  psql -X -A -t -q -d template1 -c 'SELECT datname FROM pg_database WHERE datallowconn' >"$SCRATCH/databases" || return 1
  while IFS= read -r name; do
    PGDATABASE=$name pg_dump >/dev/null || return 1
  done <"$SCRATCH/databases"
}

# MySQL's and MariaDB's part of a restore test: a scratch server that listens on a socket only, and what a dump holds.

STOP=TERM
GLOBALS_OF=accounts
NO_ROOM='no space left|errno: 28|error 28|is full|disk quota'
NO_MEMORY='out of memory|lost connection|has gone away'
LACKING='plugin .* is not loaded|unknown storage engine|unknown collation|unknown character set|unknown or incorrect time zone|not loaded'
# ER_PARSE_ERROR and ER_WRONG_VALUE_COUNT_ON_ROW.
DUMP_AT_FAULT='^ERROR (1064|1136) '
DATA_AT_FAULT='database page corruption|corrupted page|log scan aborted|checksum mismatch|missing FILE_CHECKPOINT|missing MLOG_CHECKPOINT'
NOT_THE_DATA='permission denied|encrypt|keyring|decrypt|upgrade|downgrade|unsupported|input/output'

db_find_tools() {
  PATH=$PATH:/usr/sbin:/usr/libexec:/opt/bitnami/mariadb/sbin:/opt/bitnami/mysql/bin
  DUMP=$(command -v mariadb-dump || command -v mysqldump || echo mysqldump)
  CLIENT=$(command -v mariadb || command -v mysql || echo mysql)
  SERVER=$(command -v mariadbd || command -v mysqld || echo mysqld)
  INSTALL=$(command -v mariadb-install-db || command -v mysql_install_db || echo)
  require_tools "$DUMP" "$CLIENT" "$SERVER"
}

db_server_version() { "$SERVER" --no-defaults --version | sed 's|^[^ ]*/||'; }

# db_dump_facts: prints what the dump on stdin holds: its database, the accounts and time zones that it needs, and the rows of
# each table. A row has no line end, because the dump tool writes \n, but a name may; bodies of triggers and routines are
# between other delimiters. Tables whose rows are stored elsewhere are not counted. History rows are counted.
db_dump_facts() {
  awk "$AWK_ACCOUNTS"'
    function table_name(text) { return match(text, /^`([^`]|``)*`/) ? substr(text, 1, RLENGTH) : "" }
    function tuples(text, number) {
      gsub(/\\./, "", text)
      gsub(/\047[^\047]*\047/, "", text)
      number = gsub(/\(/, "(", text)
      inserting = text !~ /;$/
      return number
    }
    inserting && !body {
      rows[table] += tuples($0)
      next
    }
    # A name may continue on the next line.
    begun != "" || !body && /^(CREATE TABLE|INSERT (IGNORE )?INTO) `/ {
      $0 = begun == "" ? $0 : begun "\036" $0
      begun = ""
      rest = $0
      sub(/^[A-Z ]+ /, "", rest)
      if (table_name(rest) == "") {
        begun = $0
        next
      }
    }
    !body && /^INSERT (IGNORE )?INTO `/ {
      table = table_name(rest)
      rest = substr(rest, length(table) + 1)
      # Columns, where some are computed or the rows have a history.
      if (match(rest, /^ \((`([^`]|``)*`,? ?)+(row_start, row_end)?\)/)) rest = substr(rest, RLENGTH + 1)
      rows[table] += tuples(rest)
      next
    }
    /DEFINER=`/ {
      line = rest
      print_definer($0)
      rest = line
    }
    /time_zone *= *\047[A-Za-z]+[\/A-Za-z_+0-9-]*\047/ {
      zone = $0
      sub(/^.*time_zone *= *\047/, "", zone)
      sub(/\047.*$/, "", zone)
      if (zone != "SYSTEM" && !(zone in known)) print "zone\t" zone
      known[zone]
    }
    /^DELIMITER ;;$/ { body = 1 }
    /^DELIMITER ;$/ { body = 0 }
    body { next }
    NR <= 20 && /^-- Host: .* Database: / {
      of = $0
      sub(/^-- Host: .* Database: /, "", of)
      print "database\t" of
    }
    /^CREATE TABLE `/ {
      made = table_name(rest)
      rows[made] += 0
    }
    /^\) ENGINE=/ {
      gsub(/\047[^\047]*\047/, "")
      if (tolower($0) ~ /^\) engine=(mrg_|merge|federated|blackhole|spider|connect|s3|oqgraph|ndb)/) away[made]
      if ($0 ~ / WITH SYSTEM VERSIONING/) versioned[made]
    }
    END {
      for (table in rows) {
        if (rows[table] || !(table in away))
          printf "table\t%.0f\t%s%s\n", rows[table], table, table in versioned ? " FOR SYSTEM_TIME ALL" : ""
      }
      print "end"
    }'
}

db_check_header() {
  of=$(sed -n 's/^database.//p' "$SCRATCH/facts")
  # A name with a line end is written differently in the comment.
  case $DATABASE in *"$nl"* | *"$cr"*) return ;; esac
  [ -z "$of" ] || [ "$of" = "$DATABASE" ] || bad "the dump is of the database '$of', the proof is of '$DATABASE'"
}

client() { "$CLIENT" --no-defaults --socket="$SCRATCH/socket" --user=root --default-character-set=utf8mb4 "$@"; }

db_is_up() { client --execute='SELECT 1'; }

# ask QUERY: replaces the one of mysql.sh, for the scratch server.
ask() { client --batch --skip-column-names --execute="$1" -- "$DATABASE"; }

# db_is_same_version: whether the scratch server is of the same version as the original.
db_is_same_version() {
  was=$(proof_property version)
  is=$(echo 'SELECT version()' | client --batch --skip-column-names 2>/dev/null)
  case $was in *MariaDB*) case $is in *MariaDB*) ;; *) return 1 ;; esac ;; *) case $is in *MariaDB*) return 1 ;; esac ;; esac
  was=$(printf %s "$was" | cut -d . -f 1,2)
  [ -n "$was" ] && [ "$was" = "$(printf %s "$is" | cut -d . -f 1,2)" ]
}

# plain_property NAME: prints the server's property from the proof if it is a plain word or number.
plain_property() {
  value=$(proof_property "$1")
  case $value in *[!A-Za-z0-9_,]*) ;; *) printf '%s' "$value" ;; esac
}

db_make_server() {
  set_server_user mysql
  make_folder tmp
  tmp=$made
  make_folder data
  set -- --datadir="$made" --tmpdir="$tmp" --loose-performance-schema=OFF
  for name in lower_case_table_names innodb_page_size; do
    if [ -n "$(plain_property "$name")" ]; then set -- "$@" "--$name=$(plain_property "$name")"; fi
  done
  if [ -n "$INSTALL" ]; then
    (as_server_user "$INSTALL" --no-defaults "$@" --auth-root-authentication-method=normal --skip-test-db) >"$SCRATCH/log" 2>&1 3<&-
  else
    (as_server_user "$SERVER" --no-defaults "$@" --initialize-insecure) >"$SCRATCH/log" 2>&1 3<&-
  fi || {
    lost_for_known_cause 'the scratch database cannot be installed' "$?"
    lost other 'the scratch database cannot be installed'
  }
  set -- "$@" --socket="$SCRATCH/socket" --pid-file="$tmp/pid" --skip-networking \
    --loose-mysqlx=OFF --skip-log-bin --event-scheduler=OFF --max-allowed-packet=1G --innodb-flush-log-at-trx-commit=0 \
    --skip-innodb-doublewrite --loose-innodb-strict-mode=OFF
  start_server "$SERVER" --no-defaults "$@" || {
    lost_for_known_cause 'the scratch server does not start' 0
    lost other 'the scratch server does not start'
  }
  # The settings from the proof, as far as this server accepts them.
  for name in sql_mode character_set_server collation_server default_storage_engine explicit_defaults_for_timestamp; do
    if printf '%s' "$LIKE" | grep -q "^$name "; then printf "SET GLOBAL %s = '%s';\n" "$name" "$(plain_property "$name")"; fi
  done | client --force --binary-mode >/dev/null 2>&1
  time_zones
  # shellcheck disable=SC2016 # backticks quote a name
  named=$(printf '%s' "$DATABASE" | sed 's/`/``/g')
  charset=$(plain_property characterSet)
  # shellcheck disable=SC2016 # likewise
  printf 'CREATE DATABASE IF NOT EXISTS `%s` CHARACTER SET %s %s\n' "$named" "${charset:-utf8mb4}" \
    "$(plain_property collation | sed 's/^./COLLATE &/')" | client 2>"$SCRATCH/errors" || {
    lost_for_known_cause 'the scratch database cannot be made' 0
    lost other 'the scratch database cannot be made'
  }
  if [ -n "$GLOBALS" ]; then make_recorded_accounts; fi
  # Other accounts that define views and routines have every right.
  list_accounts >"$SCRATCH/known"
  # shellcheck disable=SC2016 # backquotes
  sed -n 's/^account.//p' "$SCRATCH/facts" | grep -v -x -F -f "$SCRATCH/known" |
    sed -e '/@`/s/.*/CREATE USER &; GRANT ALL ON *.* TO &;/' -e '/^CREATE/!s/.*/CREATE ROLE &; GRANT ALL ON *.* TO &;/' |
    client --force --binary-mode >/dev/null 2>&1
}

# make_recorded_accounts: makes the accounts of the file beside the dump, as far as this server can: one may need a plugin.
make_recorded_accounts() {
  list_accounts >"$SCRATCH/known"
  echo "SET SESSION sql_mode = '';" >"$SCRATCH/accounts"
  filter_accounts "$SCRATCH/known" /dev/null '' /dev/null <"$GLOBALS" >>"$SCRATCH/accounts" ||
    lost space 'nothing can be written in the scratch volume'
  client --force --binary-mode <"$SCRATCH/accounts" >/dev/null 2>&1
  say roles "$(($(list_accounts | wc -l) - $(wc -l <"$SCRATCH/known")))"
  rm -f "$SCRATCH/accounts"
}

# time_zones: loads the time zones that events name, if the image has them.
time_zones() {
  reader=$(command -v mariadb-tzinfo-to-sql || command -v mysql_tzinfo_to_sql) || return 0
  sed -n 's/^zone.//p' "$SCRATCH/facts" | while IFS= read -r zone; do
    case $zone in *..*) continue ;; esac
    if [ -f "/usr/share/zoneinfo/$zone" ]; then
      "$reader" "/usr/share/zoneinfo/$zone" "$zone" 2>/dev/null | client --force -- mysql >/dev/null 2>&1
    fi
  done
}

# db_filter: the same filter as in a load.
db_filter() {
  INTO=$DATABASE
  db_filter_statements 0
}

db_load() { client --binary-mode --max-allowed-packet=1G -- "$DATABASE"; }
db_after_load() { :; }

db_count_queries() {
  awk -F '\t' '$1 == "table" {
    name = substr($0, length($2) + 8)
    gsub(/\036/, "\n", name)
    printf "SELECT %d, %s, count(*), 0 FROM %s;\n", ++number, $2, name
  }' "$SCRATCH/facts"
}

# db_test_replace: a load drops each table before it creates it, so there is nothing else to test.
db_test_replace() { :; }

db_ask() { client --batch --skip-column-names -- "$DATABASE"; }

db_find_data() { find_in_volume ibdata1 mysql; }

# db_fits FOLDER, db_check_major FOLDER: the server itself refuses the data of another version, if it cannot read it.
db_fits() { :; }
db_check_major() { :; }

# db_find_places FOLDER: tables elsewhere are not looked for.
db_find_places() { :; }

# db_start_on_data FOLDER: starts the server with the image's own configuration, without network, log and event scheduler.
db_start_on_data() {
  rm -f "$1"/*.pid
  [ -d "$SCRATCH/tmp2" ] || make_folder tmp2
  start_server "$SERVER" --datadir="$1" --tmpdir="$SCRATCH/tmp2" --socket="$SCRATCH/socket" --pid-file="$SCRATCH/tmp2/pid" \
    --skip-networking --loose-mysqlx=OFF --skip-grant-tables --event-scheduler=DISABLED --max-allowed-packet=1G
}

db_read_data() {
  if [ -n "$DATABASE" ]; then
    printf '%s\n' "$DATABASE" >"$SCRATCH/databases"
  else
    echo 'SHOW DATABASES' | client --batch --raw --skip-column-names |
      grep -v -x -E 'mysql|sys|information_schema|performance_schema|#mysql50#.*' >"$SCRATCH/databases"
  fi
  while IFS= read -r name; do
    "$DUMP" --no-defaults --socket="$SCRATCH/socket" --user=root --default-character-set=utf8mb4 --single-transaction --quick \
      --skip-triggers --hex-blob --max-allowed-packet=1G -- "$name" >/dev/null || return 1
  done <"$SCRATCH/databases"
}

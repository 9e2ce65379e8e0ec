# MySQL's and MariaDB's part of a restore test: a scratch server, and what a dump holds. Nothing in it listens but a socket.

STOP=TERM
NOT_THE_DUMP='no space left|errno: 28|error 28|is full|out of memory|plugin .* is not loaded|unknown storage engine|GTID_MODE|lost connection|has gone away'

db_tools() {
  PATH=$PATH:/usr/sbin:/usr/libexec:/opt/bitnami/mariadb/sbin:/opt/bitnami/mysql/bin
  DUMP=$(command -v mariadb-dump || command -v mysqldump || echo mysqldump)
  CLIENT=$(command -v mariadb || command -v mysql || echo mysql)
  SERVER=$(command -v mariadbd || command -v mysqld || echo mysqld)
  INSTALL=$(command -v mariadb-install-db || command -v mysql_install_db || echo)
  missing_tools "$DUMP" "$CLIENT" "$SERVER"
}

db_server() { "$SERVER" --no-defaults --version | sed 's|^[^ ]*/||'; }

# db_facts: what the text holds: the database that it is of, and the rows of each table. A row's text has no line end in it,
# because the dump tool writes \n; bodies of triggers and the like stand between other delimiters.
db_facts() {
  awk '
    function name(text) { return match(text, /^`([^`]|``)*`/) ? substr(text, 1, RLENGTH) : "" }
    function tuples(text, number) {
      gsub(/\\./, "", text)
      gsub(/\047[^\047]*\047/, "", text)
      number = gsub(/\(/, "(", text)
      inserting = text !~ /;$/
      return number
    }
    /^DELIMITER ;;$/ { body = 1 }
    /^DELIMITER ;$/ { body = 0 }
    body { next }
    inserting {
      rows[table] += tuples($0)
      next
    }
    NR <= 20 && /^-- Host: .* Database: / {
      of = $0
      sub(/^-- Host: .* Database: /, "", of)
      print "database\t" of
    }
    /^SET @@GLOBAL.GTID_PURGED/ { print "gtid" }
    /^CREATE TABLE `/ { rows[name(substr($0, 14))] += 0 }
    /^INSERT (IGNORE )?INTO `/ {
      rest = $0
      sub(/^INSERT (IGNORE )?INTO /, "", rest)
      table = name(rest)
      rest = substr(rest, length(table) + 1)
      # Columns, where some are computed.
      if (match(rest, /^ \((`([^`]|``)*`,? ?)+\)/)) rest = substr(rest, RLENGTH + 1)
      rows[table] += tuples(rest)
    }
    END { for (table in rows) printf "table\t%.0f\t%s\n", rows[table], table }'
}

db_header() {
  of=$(sed -n 's/^database.//p' "$SCRATCH/facts")
  [ "$of" = "$DATABASE" ] || bad "the dump is of the database '$of', the proof is of '$DATABASE'"
}

client() { "$CLIENT" --no-defaults --socket="$SCRATCH/socket" --user=root --default-character-set=utf8mb4 "$@"; }

db_up() { client --execute='SELECT 1'; }

db_make() {
  user_of mysql
  folder tmp
  tmp=$made
  folder data
  if [ -n "$INSTALL" ]; then
    set -- "$INSTALL" --no-defaults --datadir="$made" --tmpdir="$tmp" --auth-root-authentication-method=normal --skip-test-db
  else
    set -- "$SERVER" --no-defaults --datadir="$made" --tmpdir="$tmp" --initialize-insecure
  fi
  (as "$@") >"$SCRATCH/log" 2>&1 3<&- || lost 'the scratch database cannot be installed'
  set -- --datadir="$made" --tmpdir="$tmp" --socket="$SCRATCH/socket" --pid-file="$tmp/pid" --skip-networking \
    --loose-mysqlx=OFF --skip-log-bin --event-scheduler=OFF --max-allowed-packet=1G --innodb-flush-log-at-trx-commit=0 \
    --skip-innodb-doublewrite --loose-innodb-strict-mode=OFF
  # A dump of MySQL with transaction identifiers is taken by a server with some only.
  if grep -q '^gtid' "$SCRATCH/facts"; then set -- "$@" --loose-gtid-mode=ON --loose-enforce-gtid-consistency=ON; fi
  server_start "$SERVER" --no-defaults "$@" || lost 'the scratch server does not start'
  # shellcheck disable=SC2016 # backticks quote a name
  named=$(printf '%s' "$DATABASE" | sed 's/`/``/g')
  # shellcheck disable=SC2016 # likewise
  printf 'CREATE DATABASE IF NOT EXISTS `%s` CHARACTER SET utf8mb4\n' "$named" | client 2>"$SCRATCH/errors" ||
    lost 'the scratch database cannot be made'
}

db_load() { client --binary-mode --max-allowed-packet=1G -- "$DATABASE"; }

db_counts() {
  awk -F '\t' '$1 == "table" {
    printf "SELECT %d, %s, count(*), 0 FROM %s;\n", ++number, $2, substr($0, length($2) + 8)
  }' "$SCRATCH/facts"
}

db_ask() { client --batch --skip-column-names -- "$DATABASE"; }

db_find() { in_volume ibdata1 mysql; }

# db_start_on FOLDER: with the image's own configuration, except for what leads out of it.
db_start_on() {
  rm -f "$1"/*.pid
  [ -d "$SCRATCH/tmp2" ] || folder tmp2
  server_start "$SERVER" --datadir="$1" --tmpdir="$SCRATCH/tmp2" --socket="$SCRATCH/socket" --pid-file="$SCRATCH/tmp2/pid" \
    --skip-networking --loose-mysqlx=OFF --skip-grant-tables --event-scheduler=DISABLED --max-allowed-packet=1G
}

db_read() {
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

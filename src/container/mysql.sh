# MySQL's and MariaDB's part of a session: which tools, how to connect, how to dump, how a whole dump ends. The clients read
# the connection from an option file that exists only as an open descriptor, so a password is in no argument list, no
# environment and no directory.

# db_read_connection: reads the connection from stdin. Defaults are those of the official images.
db_read_connection() {
  DUMP=$(command -v mariadb-dump || command -v mysqldump || echo mysqldump)
  CLIENT=$(command -v mariadb || command -v mysql || echo mysql)
  DB_TOOLS="${DUMP##*/} ${CLIENT##*/}"
  read_value && case $VALUE in
  /*) OPTIONS="[client]${nl}host=localhost${nl}socket=$(quote_option "$VALUE")" here=yes ;;
  127.0.0.1 | ::1 | localhost) OPTIONS="[client]${nl}host=$VALUE" here=yes ;;
  *) OPTIONS="[client]${nl}host=$(quote_option "$VALUE")" here= ;;
  esac
  read_value && OPTIONS="$OPTIONS${nl}port=$VALUE"
  read_value && { resolve_mysql "$VALUE" || VALUE=root; } && OPTIONS="$OPTIONS${nl}user=$(quote_option "$VALUE")"
  read_value && if resolve_mysql "$VALUE"; then OPTIONS="$OPTIONS${nl}password=$(quote_option "$VALUE")"; fi
  read_value && { resolve_mysql "$VALUE" || VALUE=; } && DATABASE=$VALUE
  read_value && CHARSET=$VALUE
  # Options that only some versions have. A server on this container's own address needs no certificate.
  knows=$("$DUMP" --no-defaults --help 2>/dev/null) || knows=
  [ -z "$here" ] || {
    case $knows in *--get-server-public-key*) OPTIONS="$OPTIONS${nl}loose-get-server-public-key" ;; esac
    # Only MariaDB's tools read this group.
    OPTIONS="$OPTIONS${nl}[client-mariadb]${nl}loose-skip-ssl-verify-server-cert"
  }
  # MariaDB's client prints a statement that fails, which may hold rows. Only that client reads this group.
  case $("$CLIENT" --no-defaults --help </dev/null 2>/dev/null) in
  *--print-query-on-error*) OPTIONS="$OPTIONS${nl}[mariadb-client]${nl}skip-print-query-on-error" ;;
  esac
}

# resolve_mysql SPEC: as resolve, but for a variable MYSQL_* it tries MARIADB_* first, as MariaDB's image does.
resolve_mysql() {
  case $1 in "\$MYSQL_"*) resolve "\$MARIADB_${1#?MYSQL_}" && return ;; esac
  resolve "$1"
}

# quote_option TEXT: prints TEXT as a value of an option file: in double quotes, with backslash escapes
# (https://dev.mysql.com/doc/refman/8.4/en/option-files.html).
quote_option() {
  rest=$1 quoted=
  while [ -n "$rest" ]; do
    first=${rest%"${rest#?}"}
    rest=${rest#?}
    case $first in
    \\ | '"') quoted=$quoted\\$first ;;
    "$nl") quoted=$quoted\\n ;;
    "$cr") quoted=$quoted\\r ;;
    *) quoted=$quoted$first ;;
    esac
  done
  printf '"%s"' "$quoted"
}
cr=$(printf '\r')

db_tool_version() { "$DUMP" --version; }

# db_name: prints the resolved name of the database.
db_name() { printf '%s' "$DATABASE"; }

# with_options PROGRAM ARGUMENTS...: execs the tool with the connection's options, so the shell's process id becomes the tool's.
with_options() {
  program=$1
  shift
  exec "$program" --defaults-file=/dev/fd/9 "$@" 9<<OPTIONS
$OPTIONS
OPTIONS
}

ask() {
  with_options "$CLIENT" --default-character-set=utf8mb4 --batch --skip-column-names --execute="$1" -- "$DATABASE"
}

# ask_all OPTION...: runs the statements on stdin; a row a line. It execs the tool.
ask_all() { with_options "$CLIENT" --default-character-set=utf8mb4 --batch --skip-column-names "$@" -- "$DATABASE"; }

db_answers() {
  if [ -z "$DATABASE" ]; then
    echo 'no database is named, and the container has no MYSQL_DATABASE' >&2
    exit 1
  fi
  ask 'SELECT 1' >/dev/null
}

# db_report_facts: reports what there is to dump and what the user may read, one line each: whether the server takes no writes, as a
# replica does; the number of tables; tables that are not dumped as of one moment, because only InnoDB has consistent snapshots;
# columns whose values and tables whose history the dump does not hold; views and routines of which the user sees only the name;
# and the grants of the user and its roles. A grant is cut at TO, because a password hash may follow.
db_report_facts() {
  tables="FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type NOT IN ('VIEW', 'SYSTEM VIEW')"
  views="FROM information_schema.views WHERE table_schema = DATABASE()"
  case $knows in *--dump-history*) unkept="AND EXISTS ($BY_TRANSACTION)" ;; *) unkept= ;; esac
  # Some modes change how the server quotes names in grants.
  ask "SET SESSION sql_mode = '';
    SELECT 'tables', count(*) $tables;
    SELECT 'unsteady', table_name $tables AND table_type <> 'SEQUENCE' AND engine <> 'InnoDB';
    SELECT 'left-out', concat('float ', c.table_name, '.', c.column_name) FROM information_schema.columns c
      JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
      WHERE c.table_schema = DATABASE() AND c.data_type = 'float' AND c.numeric_scale IS NULL
        AND c.extra NOT LIKE '%VIRTUAL%' AND c.extra NOT LIKE '%STORED%' AND t.table_type <> 'VIEW' LIMIT 100;
    SELECT 'left-out', concat('history ', table_name) $tables AND table_type = 'SYSTEM VERSIONED' $unkept;
    SELECT 'unshown', table_name $views AND view_definition = '' LIMIT 4;
    SELECT 'calling', table_name $views AND view_definition LIKE concat('%', char(96), '(%') LIMIT 4;
    SELECT DISTINCT 'unreadable', routine_name FROM information_schema.routines
      WHERE routine_schema = DATABASE() AND routine_definition IS NULL LIMIT 4;
    SELECT 'server', version();
    SELECT 'standby', 'yes' FROM (SELECT @@global.read_only AS it) AS mode WHERE it;
    SELECT 'account', current_user();
    SHOW GRANTS" | while IFS= read -r fact; do
    case $fact in
    'GRANT '* | 'REVOKE '*)
      case $fact in
      'GRANT '*) kind=grant fact=${fact#GRANT } to=TO ;;
      *) kind=revoke fact=${fact#REVOKE } to=FROM ;;
      esac
      case $fact in
      *".* $to "*) fact=${fact%%".* $to "*}'.*' ;;
      *) fact=${fact%%" $to "*} ;;
      esac
      say "$kind" "$fact"
      ;;
    *"$tab"*) say "${fact%%"$tab"*}" "${fact#*"$tab"}" ;;
    esac
  done
}
# Tables whose versions are told apart by transactions, which the dump tool refuses to dump with their history.
BY_TRANSACTION="SELECT 1 FROM information_schema.columns
  WHERE table_schema = DATABASE() AND generation_expression = 'ROW START' AND data_type = 'bigint'"
tab=$(printf '\t')

# db_inventory: prints what a dump holds and what its server is like, one line each: `object KIND NUMBER MARK`, where MARK changes
# when an object is created or dropped; `property NAME VALUE`; and counters of DROP and RENAME statements. It prints nothing
# for the server's own databases, which are dumped differently. Libraries are read by MySQL from 9.2 on; older ones and MariaDB take
# the query for them for a comment.
db_inventory() {
  case $DATABASE in mysql | sys | information_schema | performance_schema) return ;; esac
  ask "SELECT concat('object ', kind, ' ', count(*), ' ', coalesce(sum(crc32(mark)), 0)) FROM (
      SELECT CASE table_type WHEN 'BASE TABLE' THEN 'tables' WHEN 'VIEW' THEN 'views' WHEN 'SEQUENCE' THEN 'sequences'
          WHEN 'SYSTEM VERSIONED' THEN 'versionedTables' ELSE 'otherTables' END AS kind,
        concat_ws(',', table_name, create_time) AS mark FROM information_schema.tables WHERE table_schema = DATABASE()
      UNION ALL SELECT CASE routine_type WHEN 'PACKAGE' THEN 'packages' WHEN 'PACKAGE BODY' THEN 'packageBodies'
          ELSE 'routines' END, concat_ws(',', routine_name, routine_type, created)
        FROM information_schema.routines WHERE routine_schema = DATABASE()
      UNION ALL SELECT 'triggers', concat_ws(',', trigger_name, created)
        FROM information_schema.triggers WHERE trigger_schema = DATABASE()
      UNION ALL SELECT 'events', concat_ws(',', event_name, created)
        FROM information_schema.events WHERE event_schema = DATABASE()
      /*!90200 UNION ALL SELECT 'libraries', concat_ws(',', library_name, created)
        FROM information_schema.libraries WHERE library_schema = DATABASE() */) AS objects GROUP BY kind;
    SELECT concat('property characterSet ', default_character_set_name) FROM information_schema.schemata
      WHERE schema_name = DATABASE();
    SELECT concat('property collation ', default_collation_name) FROM information_schema.schemata
      WHERE schema_name = DATABASE();
    SELECT concat('property version ', version());
    SELECT concat('property systemTimeZone ', @@GLOBAL.system_time_zone);
    SELECT concat('property sql_mode ', @@GLOBAL.sql_mode);
    SELECT concat('property time_zone ', @@GLOBAL.time_zone);
    SELECT concat('property lower_case_table_names ', @@GLOBAL.lower_case_table_names);
    SELECT concat('property character_set_server ', @@GLOBAL.character_set_server);
    SELECT concat('property collation_server ', @@GLOBAL.collation_server);
    SELECT concat('property default_storage_engine ', @@GLOBAL.default_storage_engine);
    SELECT concat('property explicit_defaults_for_timestamp ', @@GLOBAL.explicit_defaults_for_timestamp);
    SELECT concat('property innodb_page_size ', @@GLOBAL.innodb_page_size);
    SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_drop_view', 'Com_drop_trigger', 'Com_drop_event', 'Com_drop_procedure',
      'Com_drop_function', 'Com_drop_package', 'Com_drop_package_body', 'Com_drop_library', 'Com_drop_sequence', 'Com_drop_db',
      'Com_rename_table')"
}

# db_dump_mode: prints `history` if there are system-versioned tables and the tool can dump the history of all of them.
db_dump_mode() {
  case $knows in *--dump-history*) ;; *) return ;; esac
  ask "SELECT 'history' FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'SYSTEM VERSIONED'
    AND NOT EXISTS ($BY_TRANSACTION) LIMIT 1"
}

# db_dump MODE: writes the dump to stdout. Without LOCK TABLES, because a load then cannot read other tables, such as a sequence;
# and without GTIDs, because the tool would lock all tables for them and the dump's own server refuses to load them.
db_dump() {
  set -- "$1" --default-character-set="$CHARSET" --single-transaction --quick --routines --events --triggers --hex-blob \
    --max-allowed-packet=1G --skip-add-locks
  case $knows in *--set-gtid-purged*) set -- "$@" --set-gtid-purged=OFF ;; esac
  if [ "$1" = history ]; then set -- "$@" --dump-history; fi
  shift
  with_options "$DUMP" "$@" -- "$DATABASE"
}

# db_is_complete TAIL: whether TAIL is the end of a whole dump: the last statement, which restores a variable, an empty line, and
# the closing comment. A row cannot look like this, because the tool writes its line ends as \n.
db_is_complete() {
  last=${1##*"$nl"}
  case $last in '-- Dump completed'*) ;; *) return 1 ;; esac
  case ${1%"$nl$last"} in *' */;'"$nl") return 0 ;; esac
  return 1
}

ONLY='' AS='' LEFT=''
# db_filter_statements TRIAL: filters a dump on stdin for a load into the database $INTO. It leaves out
# - LOCK TABLES, which only serves speed, and keeps statements from reading other tables, such as a sequence;
# - what mysqldump writes for a new replica: SET GTID_PURGED, and SQL_LOG_BIN = 0, which would keep the load from this server's
#   replicas;
# - in a trial (TRIAL is 1), events, because they would run there, and the definers of views and of the functions that views
#   call, because their rights do not cover the scratch schema. Statements after the dump check that the user may set these
#   definers, and that definers whom a view needs exist.
# Names that are qualified with the dump's database are qualified with $INTO instead: sequences of defaults, and columns and
# functions of views.
#
# It fails at USE and CREATE DATABASE, which would lead the load into another schema.
#
# If $ONLY is set, it lets only the table of this name through, as the table $AS, with status 4 if it is not there. Its foreign keys
# and triggers are left out, and named in the file $LEFT. MySQL, but not MariaDB, wants names of CHECK constraints to be unique in a
# schema, so the server gives them new ones. Rows of other tables are skipped without a look.
#
# A line is a statement only outside of quotes: names and bodies may hold line ends. Rows hold none.
db_filter_statements() {
  export INTO ONLY AS LEFT
  exec awk -v trial="$1" '
    BEGIN {
      end = ";"
      into = ENVIRON["INTO"]
      gsub(/`/, "``", into)
      only = ENVIRON["ONLY"] == "" ? "" : quoted(ENVIRON["ONLY"])
      as = quoted(ENVIRON["AS"])
      leading = 1
    }
    function quoted(name) {
      gsub(/`/, "``", name)
      return "`" name "`"
    }
    function leave(what) { print what >ENVIRON["LEFT"] }

    # Of a statement that begins with this line: whether it is about the table alone, or a setting for it. `leading` is true before
    # the first statement that is no setting; `pending` are settings before a table.
    function is_wanted(    head) {
      if (match($0, /^(\/\*M?![0-9]+ )?SET /)) {
        if (leading || inside) return 1
        pending = pending $0 "\n"
        return 0
      }
      leading = 0
      head = "CREATE TABLE " only " ("
      if (index($0, head) == 1) {
        found = inside = creating = 1
        printf "%s", pending
        $0 = "CREATE TABLE " as " (" substr($0, length(head) + 1)
        return 1
      }
      pending = ""
      if (match($0, /^(INSERT|REPLACE)( +(IGNORE|DELAYED|LOW_PRIORITY))* +INTO /)) {
        head = substr($0, 1, RLENGTH)
        if (!found || index(substr($0, RLENGTH + 1), only " ") != 1) return 0
        $0 = head as substr($0, length(head only) + 1)
        return 1
      }
      if (inside && match($0, /\/\*!50003 TRIGGER +/)) {
        head = substr($0, RSTART + RLENGTH)
        match(head, /^(`([^`]|``)*`|[^ ]+)/)
        head = substr(head, 1, RLENGTH)
        gsub(/^`|`$/, "", head)
        leave("trigger " head)
      } else if (/^(CREATE|DROP) / || /^\/\*!50001 /) inside = 0
      return 0
    }
    # A line of the definition of the table: foreign keys go, with the comma before them if they are last.
    function define(line) {
      if (match(line, /^  CONSTRAINT `([^`]|``)*` FOREIGN KEY /)) {
        leave("foreign key " substr(line, 15, RLENGTH - 28))
        if (line !~ /,$/) sub(/,$/, "", defined)
        return
      }
      if (is_mysql && match(line, /^  CONSTRAINT `([^`]|``)*` CHECK /)) line = "  " substr(line, RLENGTH - 5)
      if (defined != "") print defined
      defined = line
    }

    # Reads a line from where the last one left off: `quote` is the quote that is open, * for a comment. `out` becomes the text,
    # `remark` whether it ends in a comment.
    function scan(text,    token, name, rest) {
      out = ""
      remark = 0
      while (text != "") {
        if (quote == "*") {
          if (!(RSTART = index(text, "*/"))) break
          text = taken(text, RSTART + 1)
          quote = ""
        } else if (quote == "`") {
          if (!match(text, /^([^`]|``)*`/)) break
          text = taken(text, RLENGTH)
          quote = ""
        } else if (quote != "") {
          if (!match(text, literal ? "[" quote "]" : "[\\\\" quote "]")) break
          token = substr(text, RSTART, 1)
          text = taken(text, token == "\\" ? RSTART + 1 : RSTART)
          if (token == quote) quote = ""
        } else {
          if (!match(text, /[\047"`#]|\/\*|--([ \t]|$)/)) break
          token = substr(text, RSTART, RLENGTH)
          text = taken(text, RSTART + RLENGTH - 1)
          if (token ~ /^[#-]/) {
            remark = 1
            break
          } else if (token == "/*") {
            if (text !~ /^M?!/) quote = "*"
          } else if (token == "`" && match(text, /^([^`]|``)*`/)) {
            name = substr(text, 1, RLENGTH - 1)
            rest = substr(text, RLENGTH + 1)
            if (name == of && end == ";" && ours(rest)) {
              out = out into "`"
              text = rest
            } else text = taken(text, RLENGTH)
            if (view != "") mention(name, rest)
          } else quote = token
        }
      }
      out = out text
    }
    function taken(text, length_) {
      out = out substr(text, 1, length_)
      return substr(text, length_ + 1)
    }
    # Whether the name of the database before `rest` is that: of a sequence, of a function, of a column with its table.
    function ours(rest) {
      if (!match(rest, /^\.`([^`]|``)*`/)) return 0
      return substr(rest, RLENGTH + 1) ~ /^(\.`|\()/ || out ~ /(nextval|lastval|setval)\(`$/
    }
    function mention(name, rest) {
      if (name != view) mentioned[name]
      if (rest ~ /^\(/) {
        calls[view]
        called[name]
      }
    }
    function ends(text) { return substr(text, length(text) - length(end) + 1) == end }

    rows {
      if (!skipping) print
      if (ends($0)) rows = skipping = 0
      next
    }
    quote == "" && !skipping {
      if (/^DELIMITER /) {
        end = substr($0, 11)
        print
        next
      }
      if (/^\/\*!50003 SET sql_mode +=/) literal = /NO_BACKSLASH_ESCAPES/
      if (trial && /^\/\*!50106 CREATE\*\/ /) skipping = 1
      if (trial && match($0, /^CREATE DEFINER=`([^`]|``)*`(@`([^`]|``)*`)? (FUNCTION|PACKAGE)/)) {
        definer = substr($0, 16, RLENGTH - 15)
        sub(/ (FUNCTION|PACKAGE)$/, "", definer)
        $0 = "CREATE" substr($0, 16 + length(definer))
        needed[definer] += 0
        if (match($0, /`([^`]|``)*`/)) function_of[substr($0, RSTART + 1, RLENGTH - 2)] = definer
      }
      if (end == ";") {
        if (/^-- MySQL dump / && NR <= 20) is_mysql = 1
        if (only != "" && /^\/\*M!999999/) {
          print
          next
        }
        if (/^-- Host: .* Database: / && NR <= 20) {
          of = $0
          sub(/^-- Host: .* Database: /, "", of)
          gsub(/`/, "``", of)
        }
        if (/^(USE|CREATE DATABASE) /) exit elsewhere = 3
        if (/^UNLOCK TABLES;$/ || /^SET @MYSQLDUMP_TEMP_LOG_BIN *=/ || /^SET @@SESSION\.SQL_LOG_BIN *=/) next
        if (/^LOCK TABLES `/ || /^SET @@GLOBAL\.GTID_PURGED *=/) skipping = 1
        inserting = /^(INSERT|REPLACE) /
        if (trial && /^\/\*!50013 DEFINER=.* SQL SECURITY (DEFINER|INVOKER) \*\/$/) {
          definer = substr($0, 18)
          sub(/ SQL SECURITY .*/, "", definer)
          sub(/DEFINER=.* SQL/, "SQL")
        }
        if (match($0, /^\/\*!50001 VIEW `([^`]|``)*`/)) {
          view = substr($0, 16, RLENGTH - 16)
          owner[view] = definer
        }
      }
      if (only != "" && !begun && !skipping && $0 != "" && !/^--/) {
        skipping = !is_wanted()
        begun = 1
      }
    }
    # The rows begin behind the names of the table and the columns.
    inserting {
      rest = $0
      while (match(rest, /[`)] VALUES/)) {
        head = substr(rest, 1, RSTART)
        rest = substr(rest, RSTART + 1)
        scan(head)
        if (quote == "") {
          inserting = 0
          rows = !ends($0)
          break
        }
      }
      if (inserting) scan(rest)
      if (!skipping) print
      if (!inserting && !rows) begun = skipping = 0
      if (rows) begun = 0
      next
    }
    {
      defining = creating && quote == ""
      scan($0)
      if (defining) define(out)
      else if (creating) defined = defined "\n" out
      else if (!skipping && (only == "" || begun)) print out
      if (quote == "" && !remark && ends($0)) {
        if (creating) print defined
        creating = skipping = begun = 0
        view = defined = ""
      }
    }
    END {
      if (elsewhere) exit elsewhere
      if (only != "" && !found) exit 4
      if (!trial) exit
      for (name in called) if (name in function_of) needed[function_of[name]]++
      for (view in owner) if (owner[view] != "") needed[owner[view]] += view in mentioned || view in calls
      for (definer in needed) {
        print "CREATE OR REPLACE DEFINER=" definer " SQL SECURITY DEFINER VIEW `backup_ns_definer` AS SELECT 1 AS `n`;"
        if (needed[definer]) print "CREATE OR REPLACE VIEW `backup_ns_view` AS SELECT `n` FROM `backup_ns_definer`;"
      }
    }
  '
}

# db_shell: execs the interactive client.
db_shell() { with_options "$CLIENT" --default-character-set="$CHARSET" -- "$DATABASE"; }

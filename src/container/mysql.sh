# MySQL's and MariaDB's part of a session: which tools, how to connect, how to dump, how a whole dump ends. Parameters go
# to the clients as an option file that is nothing but an open descriptor: it stands in no argument list, no
# environment and no directory.

# db_take: the connection's parameters from stdin, with the defaults of the official images.
db_take() {
  DUMP=$(command -v mariadb-dump || command -v mysqldump || echo mysqldump)
  CLIENT=$(command -v mariadb || command -v mysql || echo mysql)
  DB_TOOLS="${DUMP##*/} ${CLIENT##*/}"
  take && OPTIONS="[client]${nl}host=$(option "$VALUE")"
  take && OPTIONS="$OPTIONS${nl}port=$VALUE"
  take && { either "$VALUE" || VALUE=root; } && OPTIONS="$OPTIONS${nl}user=$(option "$VALUE")"
  take && if either "$VALUE"; then OPTIONS="$OPTIONS${nl}password=$(option "$VALUE")"; fi
  take && { either "$VALUE" || VALUE=; } && DATABASE=$VALUE
  take && CHARSET=$VALUE
}

# either SPEC: as resolve, but what is called MYSQL_* may be called MARIADB_* too, which goes first, as in MariaDB's image.
either() {
  case $1 in "\$MYSQL_"*) resolve "\$MARIADB_${1#?MYSQL_}" && return ;; esac
  resolve "$1"
}

# option TEXT: as the value of an option file, in double quotes, where a backslash begins an escape
# (https://dev.mysql.com/doc/refman/8.4/en/option-files.html).
option() {
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

db_version() { "$DUMP" --version; }

# db_name: what is dumped, however its name was found.
db_name() { printf '%s' "$DATABASE"; }

# with_options PROGRAM ARGUMENTS...: replaces the shell that it is called in, so that its process id is the tool's.
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

db_answers() {
  if [ -z "$DATABASE" ]; then
    echo 'no database is named, and the container has no MYSQL_DATABASE' >&2
    exit 1
  fi
  ask 'SELECT 1' >/dev/null
}

# db_facts: what there is to dump, and what its user may do, a line of the report each: the number of tables, those that a
# transaction does not hold still (only InnoDB's are dumped as of one moment), routines of which the user sees no more
# than the name, and the grants, roles' among them. Behind TO there may be the hash of a password, which is told to nobody.
db_facts() {
  tables="FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
  # In some modes the server would quote the names in grants otherwise.
  ask "SET SESSION sql_mode = '';
    SELECT 'tables', count(*) $tables;
    SELECT 'unsteady', table_name $tables AND engine <> 'InnoDB';
    SELECT 'unreadable', routine_name FROM information_schema.routines
      WHERE routine_schema = DATABASE() AND routine_type IN ('PROCEDURE', 'FUNCTION') AND routine_definition IS NULL LIMIT 4;
    SELECT 'server', version();
    SELECT 'account', current_user();
    SHOW GRANTS" | while IFS= read -r fact; do
    case $fact in
    'GRANT '*)
      fact=${fact#GRANT }
      case $fact in
      *'.* TO '*) fact=${fact%%'.* TO '*}'.*' ;;
      *) fact=${fact%% TO *} ;;
      esac
      say grant "$fact"
      ;;
    *"$tab"*) say "${fact%%"$tab"*}" "${fact#*"$tab"}" ;;
    esac
  done
}
tab=$(printf '\t')

# db_inventory: what a dump holds and what its server is like, a line each: `object KIND NUMBER MARK`, where the mark changes with
# any object that comes or goes, `property NAME VALUE`, and a name with a number of what else tells that something went. The
# server's own databases are dumped in other ways.
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
        FROM information_schema.events WHERE event_schema = DATABASE()) AS objects GROUP BY kind;
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
      'Com_drop_function', 'Com_drop_package', 'Com_drop_package_body', 'Com_drop_sequence', 'Com_drop_db', 'Com_rename_table')"
}

db_dump() {
  with_options "$DUMP" --default-character-set="$CHARSET" --single-transaction --quick --routines --events --triggers \
    --hex-blob --max-allowed-packet=1G -- "$DATABASE"
}

# db_complete TAIL: whether the end of the plain text is the end of a whole dump: the last statement, which sets a variable
# back to what it was, an empty line, and the closing comment. In a row a line's end is written as \n.
db_complete() {
  last=${1##*"$nl"}
  case $last in '-- Dump completed'*) ;; *) return 1 ;; esac
  case ${1%"$nl$last"} in *' */;'"$nl") return 0 ;; esac
  return 1
}

# db_shell: the client, for a person.
db_shell() { with_options "$CLIENT" --default-character-set="$CHARSET" -- "$DATABASE"; }

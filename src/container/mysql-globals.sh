# MySQL's and MariaDB's part of globals.sh: the accounts and roles that own something in the database or are granted something there,
# directly or by a role, and the roles that these have. Each is made only where it is not there. root is never among them.

db_globals_of=accounts
db_globals_tool='the listing of accounts'

# db_globals_mode: prints `yes` if the user may read the accounts; otherwise it fails.
db_globals_mode() { ask "SELECT 'yes' FROM mysql.user LIMIT 1"; }

# db_globals: writes their statements to stdout, the accounts first.
db_globals() {
  case $(ask 'SELECT version()') in
  *MariaDB*)
    is_role="is_role = 'Y'" hex=
    edges="SELECT $(bin Role) AS role_user, '' AS role_host, $(bin User) AS user, $(bin Host) AS host FROM mysql.roles_mapping"
    ;;
  ?*)
    is_role='EXISTS (SELECT 1 FROM mysql.role_edges e WHERE e.from_user = a.user AND e.from_host = a.host)'
    # Hashes may hold any bytes.
    hex='SET SESSION print_identified_with_as_hex = 1;'
    edges="SELECT $(bin from_user) AS role_user, $(bin from_host) AS role_host, $(bin to_user) AS user, $(bin to_host) AS host
      FROM mysql.role_edges"
    ;;
  *) exit 1 ;;
  esac
  # The creator of a role of MariaDB has it, too.
  server_own="'', 'root', 'mysql.sys', 'mysql.session', 'mysql.infoschema', 'mariadb.sys', 'PUBLIC'"
  ours="SELECT $(bin user) AS user, $(bin host) AS host FROM mysql"
  host="substring_index(definer, '@', -1)"
  own_in="SELECT $(bin "left(definer, char_length(definer) - char_length($host) - 1)"), $(bin "$host") FROM information_schema"
  (ask "SET SESSION sql_mode = ''; WITH RECURSIVE edge AS (SELECT * FROM ($edges) granted WHERE user NOT IN ($server_own)),
    member AS (
      SELECT * FROM ($ours.db WHERE DATABASE() LIKE db
        UNION $ours.tables_priv WHERE db = DATABASE()
        UNION $ours.columns_priv WHERE db = DATABASE()
        UNION $ours.procs_priv WHERE db = DATABASE()
        UNION $own_in.views WHERE table_schema = DATABASE()
        UNION $own_in.routines WHERE routine_schema = DATABASE()
        UNION $own_in.triggers WHERE trigger_schema = DATABASE()
        UNION $own_in.events WHERE event_schema = DATABASE()) direct WHERE user NOT IN ($server_own)
      UNION SELECT e.user, e.host FROM member m JOIN edge e ON e.role_user = m.user AND e.role_host = m.host),
    needed AS (
      SELECT * FROM member
      UNION SELECT e.role_user, e.role_host FROM needed n JOIN edge e ON e.user = n.user AND e.host = n.host)
    SELECT if($is_role, 'role', 'user'), concat(quote(a.user), if(a.host = '', '', concat('@', quote(a.host))))
    FROM needed n JOIN mysql.user a ON $(bin a.user) = n.user AND $(bin a.host) = n.host
    ORDER BY 1, 2") >"$own.accounts" || exit 1
  exec 8>&1
  list_statements create >"$own.statements"
  exec 8>&-
  (ask_all --binary-mode <"$own.statements") >"$own.created" || exit 1
  list_statements grant >"$own.statements"
  (ask_all --binary-mode <"$own.statements") >"$own.granted" || exit 1
  cat "$own.created" "$own.granted" | while IFS= read -r line; do
    line=$(printf '%b_' "$line")
    line=${line%_}
    case $line in
    'CREATE USER '*) line="CREATE USER IF NOT EXISTS ${line#CREATE USER }" ;;
    # MariaDB repeats the password here, which would change that of an account that is there.
    'GRANT '*' ON *.* TO '*' IDENTIFIED '*)
      case $line in *' WITH GRANT OPTION') option=' WITH GRANT OPTION' ;; *) option= ;; esac
      line=${line%%' IDENTIFIED '*}$option
      ;;
    esac
    printf '%s;\n' "$line"
  done
  rm -f "$own.accounts" "$own.statements" "$own.created" "$own.granted"
  echo '-- Accounts complete'
}

# bin TEXT: prints the expression so that names of all tables compare alike.
bin() { printf 'CONVERT(%s USING utf8mb4) COLLATE utf8mb4_bin' "$1"; }

# list_statements WHAT: prints the statements that show how the accounts are made, or what they are granted. A role of MariaDB, which
# has no host, cannot be shown; its statement goes to descriptor 8.
list_statements() {
  echo "SET SESSION sql_mode = ''; $hex"
  while IFS=$tab read -r kind account; do
    account=$(printf '%b' "$account")
    case $1$kind$account in
    grant*) printf 'SHOW GRANTS FOR %s;\n' "$account" ;;
    createrole*@*) printf 'SHOW CREATE USER %s;\n' "$account" ;;
    createrole*) printf 'CREATE ROLE IF NOT EXISTS %s;\n' "$account" >&8 ;;
    create*) printf 'SHOW CREATE USER %s;\n' "$account" ;;
    esac
  done <"$own.accounts"
}

# db_globals_are_complete TAIL: whether TAIL is the end of a whole file.
db_globals_are_complete() {
  case $1 in *"$nl-- Accounts complete") return 0 ;; esac
  return 1
}

# db_count_globals: prints how many accounts and roles the file on stdin makes.
db_count_globals() {
  count=0
  while IFS= read -r line; do
    case $line in 'CREATE USER IF NOT EXISTS '* | 'CREATE ROLE IF NOT EXISTS '*) count=$((count + 1)) ;; esac
  done
  echo "$count"
}

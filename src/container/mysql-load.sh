# MySQL's and MariaDB's part of load.sh. A failed load cannot be undone, so it is tried in a scratch schema first.

# db_load: $how says whether to try first: `try` gives up if the user may not create a schema, `any` then loads without a
# trial, and `not` does not try.
db_load() {
  state='the database is as it was' made=
  say state "$state"
  unfinished=$FILE.backup-ns.accounts
  tried="$FILE.backup-ns.scratch"
  scratch_is=schema scratch=
  drop_leftovers
  check_history
  : >"$own.late"
  if [ "$globals" != - ]; then make_accounts; fi
  if [ "$how" = not ]; then say untried "it was not to be tried first"; else try_in_scratch_schema; fi
  keep_routine_grants
  say state 'MySQL cannot undo: tables up to the one that failed are as in the dump, that one may be empty or hold some of its rows, the others are as they were'"$made"
  say phase load
  INTO=$DATABASE without_binlog=
  load_through without_locks || lost other "$why"
  if [ -n "$made" ] || [ -s "$own.late" ]; then grant_late; fi
}

# make_accounts: makes the missing accounts of the file with the SHA-256 $globals, because views need their definers. An account is in
# $unfinished until it has all of its grants, and counts as missing until then.
make_accounts() {
  copy_globals accounts
  list_finished >"$own.known"
  [ -s "$own.known" ] || lost other "the server cannot be asked for its accounts"
  : >"$own.left"
  quiet='SET SESSION sql_log_off = 1, long_query_time = 3600;'
  (ask "$quiet") 2>/dev/null || quiet=
  echo "$quiet SET SESSION sql_mode = '';" >"$own.accounts"
  filter_accounts "$own.known" "$own.new-accounts" "$own.late" "$own.left" <"$own.globals" >>"$own.accounts" ||
    lost other "the file of accounts cannot be read"
  [ -e "$own.new-accounts" ] || return 0
  cat "$own.new-accounts" >>"$unfinished" || lost other "nothing can be written beside the dump file"
  made='; accounts that were made stay, and a restore with --globals gives them the grants that they lack'
  say state "$state$made"
  (ask_all --binary-mode <"$own.accounts") >/dev/null 2>"$own.words" || {
    clean_errors >&2
    lost accounts 'the recorded accounts cannot be made'
  }
  tail -n 100 "$own.left" | while IFS= read -r left; do say not-granted "$left"; done
}

# clean_errors: prints the errors of the client without the statements and parts of them, which may hold hashes of passwords.
clean_errors() {
  sed -n -e "s/^\(ERROR [0-9]* ([0-9A-Z]*)\) at line [0-9]*/\1/" -e "s/ near '.*//" -e 's/[0-9A-Fa-f]\{32,\}/.../g' -e '/^ERROR/p' \
    "$own.words"
}

# keep_routine_grants: writes the grants on routines to $own.late, because the server drops them with the routines that the load
# replaces. Without the right to read them, none.
keep_routine_grants() {
  (ask "SET SESSION sql_mode = '';
    SELECT DISTINCT concat('SHOW GRANTS FOR ', quote(user), if(host = '', '', concat('@', quote(host))), ';')
    FROM mysql.procs_priv WHERE db = DATABASE()") 2>/dev/null |
    while IFS= read -r statement; do printf '%b\n' "$statement"; done >"$own.statements"
  [ -s "$own.statements" ] || return 0
  (ask_all --binary-mode --force <"$own.statements") 2>"$own.words" |
    while IFS= read -r grant; do printf '%b;\n' "$grant"; done |
    awk "$AWK_ACCOUNTS$AWK_STATEMENTS"'
      function take(text,    on) {
        on = index(outline(text), " ON ")
        if (on && substr(text, on + 4) ~ /^[A-Z]/) print text ";"
      }
      { read_statement($0) }
    ' >>"$own.late"
  clean_errors | tail -n 100 | while IFS= read -r error; do say ungranted "$error"; done
  rm -f "$own.statements"
}

# grant_late: makes the grants for which something had to be loaded first.
grant_late() {
  {
    echo "SET SESSION sql_mode = '';"
    cat "$own.late"
    echo "SELECT '$NONCE';"
  } >"$own.accounts"
  (ask_all --binary-mode --force <"$own.accounts") >"$own.out" 2>"$own.words"
  say state "all of the dump is loaded$made"
  [ "$(tail -n 1 "$own.out")" = "$NONCE" ] || {
    clean_errors >&2
    lost accounts 'the grants on columns and routines could not be made'
  }
  clean_errors | tail -n 100 | while IFS= read -r error; do say ungranted "$error"; done
  rm -f "$unfinished"
}

# check_history: gives up if the dump replaces system-versioned tables and does not hold their history, unless $how allows it.
check_history() {
  with_history=$(ask "SELECT concat(char(96), replace(table_name, char(96), repeat(char(96), 2)), char(96))
    FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'SYSTEM VERSIONED'") ||
    lost other "the database cannot be asked"
  [ -n "$with_history" ] || return 0
  printf '%s\n' "$with_history" >"$own.versioned"
  (unpack </proc/self/fd/4) 2>/dev/null | awk '
    FNR == NR { versioned[$0]; next }
    /^CREATE TABLE `/ && match($0, /`([^`]|``)*`/) {
      table = substr($0, RSTART, RLENGTH)
      if (table in versioned) replaced[table]
    }
    /^\/\*M?![0-9]+ SET @old_system_versioning_insert_history=/ { kept[table] }
    END { for (table in replaced) if (!(table in kept)) print table }
  ' "$own.versioned" - >"$own.endangered" &
  children=$!
  wait_for "$children" || lost other "the dump file cannot be read"
  children=
  names=$(sort "$own.endangered" | tr '\n' ' ')
  [ -n "$names" ] || return 0
  [ "$how" != try ] || lost history "the dump holds no history of the system-versioned tables ${names% }, and loading it drops theirs"
  say unkept "${names% }"
}

# try_in_scratch_schema: loads the dump into a scratch schema, without events, because they would run there, and drops it.
try_in_scratch_schema() {
  charset=$(ask "SELECT concat('CHARACTER SET ', default_character_set_name, ' COLLATE ', default_collation_name)
    FROM information_schema.schemata WHERE schema_name = DATABASE()") || lost other "the database cannot be asked"
  name=backup_ns_$(printf %.12s "$NONCE")
  echo "$name" >"$tried"
  if ! (ask "CREATE DATABASE \`$name\` $charset"); then
    rm -f "$tried"
    say untried "the user may not create a schema to try it in"
    [ "$how" = any ] || lost untried "the dump cannot be tried first"
    return 0
  fi
  scratch=$name
  say phase trial
  # Keeps the trial out of the binary log, so that replicas do not repeat it.
  without_binlog=
  if (ask 'SET SESSION sql_log_bin = 0') 2>/dev/null; then without_binlog=yes; fi
  INTO=$scratch
  load_through without_events || lost other "the trial in a schema of its own failed: $why"
  undo
  [ -z "$scratch" ] || lost other "the schema $scratch of the trial cannot be dropped"
  say tried yes
}

without_events() { db_filter_statements 1; }
without_locks() { db_filter_statements 0; }

# db_report_roles: reports the accounts of the server that a load would not make. Without the right to read them, none.
db_report_roles() {
  list_finished 2>/dev/null | while IFS= read -r account; do
    case $account in *[[:cntrl:]]*) ;; *) say role "$account" ;; esac
  done
}

# list_finished: prints the accounts of the server, without those that an earlier load left unfinished.
list_finished() {
  list_accounts | if [ -s "$FILE.backup-ns.accounts" ]; then grep -v -x -F -f "$FILE.backup-ns.accounts"; else cat; fi
}

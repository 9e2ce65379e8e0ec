# MySQL's and MariaDB's part of load.sh. A failed load cannot be undone, so it is tried in a scratch schema first.

# db_load: $how says whether to try first: `try` gives up if the user may not create a schema, `any` then loads without a
# trial, and `not` does not try.
db_load() {
  state='the database is as it was'
  say state "$state"
  tried="$FILE.backup-ns.scratch"
  scratch_is=schema scratch=
  drop_leftovers
  check_history
  if [ "$how" = not ]; then say untried "it was not to be tried first"; else try_in_scratch_schema; fi
  say state 'MySQL cannot undo: tables up to the one that failed are as in the dump, that one may be empty or hold some of its rows, the others are as they were'
  say phase load
  INTO=$DATABASE without_binlog=
  load_through without_locks || lost other "$why"
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

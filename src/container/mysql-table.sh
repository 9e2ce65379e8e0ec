# MySQL's and MariaDB's part of a load of one table. The server cannot undo what changes a table, so the table is made under a name
# of its own, and renamed when all of it is there.

# db_load: loads the table $FROM_TABLE of the dump as $TO_TABLE.
db_load() {
  state='the database is as it was'
  say state "$state"
  tried="$FILE.backup-ns.table"
  scratch_is=table scratch=
  drop_leftovers
  check_target
  ONLY=$FROM_TABLE AS=backup_ns_$(printf %.12s "$NONCE") LEFT=$own.left INTO=$DATABASE
  : >"$LEFT"
  echo "$AS" >"$tried" || lost other "nothing can be written beside the dump file"
  scratch=$AS
  say phase load
  choose_quick_unpacker
  load_through filter_table || {
    [ "$filtered" != 4 ] || lost absent "the dump holds no table $FROM_TABLE"
    lost other "$why"
  }
  take_place
  while IFS= read -r left; do say left "$left"; done <"$LEFT"
}

filter_table() { db_filter_statements 0; }

# db_report_roles: accounts do not matter to a table.
db_report_roles() { :; }

# check_target: gives up before anything is loaded if the table cannot get its name.
check_target() {
  there=$(ask "SET SESSION sql_mode = ''; SELECT table_type FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name = $(literal "$TO_TABLE")") || lost other "the database cannot be asked"
  case $there in
  '') ;;
  'BASE TABLE' | 'SYSTEM VERSIONED')
    [ -n "$REPLACE" ] || lost there "the table $TO_TABLE is there"
    if [ "$there" = 'SYSTEM VERSIONED' ] && [ "$how" = try ]; then
      lost history "the table $TO_TABLE is system-versioned, and replacing it drops its history"
    fi
    ;;
  *) lost target "$TO_TABLE is there, and is no table" ;;
  esac
}

# take_place: gives the table its name. A table that is there is dropped before that, without a look at foreign keys, because those
# of other tables go by its name; if it were renamed, they would follow it. From here on the table that was loaded is kept,
# whatever fails.
take_place() {
  kept=$scratch
  scratch=
  rm -f "$tried"
  drop=
  if [ -n "$there" ]; then
    say state "the table $TO_TABLE is as it was, or dropped; the table $kept holds what the dump has"
    drop="DROP TABLE $(identifier "$TO_TABLE");"
  else
    say state "the table $kept holds what the dump has; the rest of the database is as it was"
  fi
  (ask "SET SESSION foreign_key_checks = 0; $drop RENAME TABLE $(identifier "$kept") TO $(identifier "$TO_TABLE")") ||
    lost other "the table $kept cannot be renamed"
}

# identifier TEXT, literal TEXT: prints TEXT as SQL; the literal for a session whose sql_mode is empty.
# shellcheck disable=SC2016 # backquotes
identifier() { printf '`%s`' "$(double '`' "$1")"; }
literal() { printf "'%s'" "$(double "'" "$(double "\\" "$1")")"; }

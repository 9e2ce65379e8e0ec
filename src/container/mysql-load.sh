# MySQL's and MariaDB's part of a load: how to be sure of all or nothing, or to know beforehand.

# db_load: nothing of MySQL's can be undone, so the dump is first loaded into a schema of its own, which goes again. $how says
# what to do where that cannot be: `try` and fail, load `any` way, or do `not` even try.
db_load() {
  state='the database is as it was'
  say state "$state"
  tried="$FILE.backup-ns.scratch"
  scratch=
  # What a session that was killed left behind.
  if [ -e "$tried" ]; then
    while IFS= read -r left; do
      case $left in *[!a-z0-9_]*) ;; backup_ns_?*) (ask "DROP DATABASE IF EXISTS \`$left\`") || lost "the schema $left of an earlier restore cannot be dropped" ;; esac
    done <"$tried"
    rm -f "$tried"
  fi
  if [ "$how" = not ]; then say untried "it was not to be tried first"; else try; fi
  say state 'MySQL cannot undo: tables up to the one that failed are as in the dump, that one may be empty or hold some of its rows, the others are as they were'
  say phase load
  INTO=$DATABASE quietly=
  pour without_log || lost "$why"
}

# try: loads the dump into the scratch schema. Events would run there, so they stay out.
try() {
  charset=$(ask "SELECT concat('CHARACTER SET ', default_character_set_name, ' COLLATE ', default_collation_name)
    FROM information_schema.schemata WHERE schema_name = DATABASE()") || lost "the database cannot be asked"
  name=backup_ns_$(printf %.12s "$NONCE")
  echo "$name" >"$tried"
  if ! (ask "CREATE DATABASE \`$name\` $charset"); then
    rm -f "$tried"
    say untried "the user may not create a schema to try it in"
    [ "$how" = any ] || lost "the dump cannot be tried first"
    return 0
  fi
  scratch=$name
  say phase trial
  # Replicas need not try, too.
  quietly=
  if (ask 'SET SESSION sql_log_bin = 0') 2>/dev/null; then quietly=yes; fi
  INTO=$scratch
  pour without_events || lost "the trial in a schema of its own failed: $why"
  undo
  [ -z "$scratch" ] || lost "the schema $scratch of the trial cannot be dropped"
  say tried yes
}

# undo: the scratch schema goes.
undo() {
  if [ -n "${scratch-}" ] && (ask "DROP DATABASE IF EXISTS \`$scratch\`"); then
    scratch=
    rm -f "$tried"
  fi
}

db_client() {
  with_options "$CLIENT" ${quietly:+"--init-command=SET SESSION sql_log_bin = 0"} --default-character-set="$CHARSET" \
    --binary-mode --batch --skip-column-names --max-allowed-packet=1G -- "$INTO"
}

db_first() { :; }
db_last() { printf '%s\n' "SELECT '$NONCE';"; }

# without_events, without_log: the dump without what must not happen. A statement that makes an event goes from its beginning to
# its delimiter, in a trial. Always goes what mysqldump writes for a new replica: which transactions it has, which this server
# knows better, and that its own log hears nothing, whose replicas want to follow.
without_events() { without 1; }
without_log() { without 0; }
without() {
  exec awk -v trial="$1" '
    skipping { if (substr($0, length($0) - length(end) + 1) == end) skipping = 0; next }
    BEGIN { end = ";" }
    $1 == "DELIMITER" { end = $2 }
    (trial && /^\/\*!50106 CREATE\*\/ /) || (end == ";" && /^SET @@GLOBAL.GTID_PURGED *=/) {
      if (substr($0, length($0) - length(end) + 1) != end) skipping = 1
      next
    }
    end == ";" && /^SET @@SESSION.SQL_LOG_BIN *= *0;$/ { next }
    { print }
  '
}

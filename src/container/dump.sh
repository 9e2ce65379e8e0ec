# The work of a dump session: dumps into a file beside the old dump, proves it, flushes it, and renames it over the old one. The
# session holds the dump lock until the command `release`, which is sent after the snapshot is cut.

MORE_TOOLS=

# progress: prints the size of the dump so far.
progress() { file_size "$own.dump"; }

# inspect_database: reports what there is to dump, and what the user may not read.
inspect_database() {
  db_report_facts &
  children=$!
  wait_for "$children"
}

# report_inventory before|after: reports what the database holds and what its server is like, for the proof. Only what is the same
# before and after the dump is noted there. A database that does not answer this does not make the dump fail.
report_inventory() {
  db_inventory >"$own.inventory" 2>/dev/null &
  children=$!
  wait_for "$children"
  children=
  while IFS= read -r fact; do say "$1" "$fact"; done <"$own.inventory"
  rm -f "$own.inventory"
}

# undo: a dump leaves only files, and those are removed anyway.
undo() { :; }

work() {
  begin_work
  # This file starts the time limit: the database may never answer the queries before its dump.
  : >"$own.dump" || lost other "nothing can be written beside the dump file"
  report_inventory before
  db_dump_mode >"$own.choice" &
  children=$!
  wait_for "$children" || lost other "the database cannot be asked what it holds"
  children=
  choice=$(cat "$own.choice")
  rm -f "$own.choice"
  say began "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  mkfifo "$own.fifo" || lost other "a named pipe cannot be made beside the dump file"
  "$compressor" -c <"$own.fifo" >"$own.dump" &
  packing=$! children=$!
  db_dump "$choice" >"$own.fifo" &
  dumping=$! children="$children $!"
  wait_for "$packing"
  packed=$status
  wait_for "$dumping"
  dumped=$status
  children=
  [ "$dumped" -eq 0 ] || [ "$packed" -ne 0 ] || lost other "the dump tool ended with status $dumped"
  [ "$packed" -eq 0 ] || lost other "${compressor##*/} ended with status $packed"
  say ended "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  report_inventory after

  # Unpacks the whole file, and keeps the end of the text with gzip's status as its last line.
  sha256sum <"$own.dump" >"$own.sum" &
  summing=$! children=$!
  {
    gzip -dc <"$own.dump"
    printf '\n%s' "$?"
  } | tail -c 500 >"$own.tail" &
  testing=$! children="$children $!"
  wait_for "$summing" || lost other "the dump cannot be read back"
  wait_for "$testing" || lost other "the dump cannot be read back"
  children=
  tail=$(tr -d '\000' <"$own.tail")
  [ "${tail##*"$nl"}" = 0 ] || lost other "the compressed file does not test whole"
  tail=${tail%"${nl}0"}
  db_is_complete "$(strip_final_newlines "$tail")" || lost other "the dump does not end as a complete one does"
  read -r sum _ <"$own.sum"
  size=$(file_size "$own.dump")
  number=$(file_inode "$own.dump")

  # The owner of the directory, usually the server's user, may read the dump too: backups of the data directory copy it.
  # shellcheck disable=SC2012 # numbers, not names
  ls -lnd . | {
    read -r _ _ user group _
    chown "$user:$group" "$own.dump" 2>/dev/null
  }
  chmod 640 "$own.dump" || lost other "the dump's mode cannot be set"
  rm -f "$own.sum" "$own.tail"

  flush || lost other "the dump cannot be flushed to its disk"
  holds_lock || lost other "the lock was lost to: ${line:-nobody}"
  main_is_alive || lost other "the session ended"
  mv -f "$own.dump" "$FILE" || lost other "the dump cannot be renamed to $FILE"
  : >"$own.renamed" || lost renamed "the dump was renamed to $FILE, but nothing more can be written beside it"
  flush || lost renamed "the dump was renamed to $FILE, but its directory cannot be flushed to its disk"
  say bytes "$size"
  say sha256 "$sum"
  say inode "$number"
  say identity "$me"
  say proven yes
}

# is_unchanged INODE BYTES: whether this session holds the dump lock, and the file is still the proven one, not written to since.
# shellcheck disable=SC3013 # -nt is POSIX since 2024; dash, busybox ash and bash have it
is_unchanged() {
  holds_lock && [ "$(file_inode "$FILE")" = "$1" ] && [ "$(file_size "$FILE")" = "$2" ] && [ -e "$own.renamed" ] &&
    ! [ "$FILE" -nt "$own.renamed" ]
}

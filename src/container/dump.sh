# The work of a dump session: dumps into a file beside the old dump, proves it meanwhile, flushes it, and renames it over the old
# one. The session holds the dump lock until the command `release`, which is sent after the snapshot is cut.

# count_cpus: puts in $cpus how many CPUs this container may use, at most 4, which are enough for a dump tool: those of the node that
# it may run on, or fewer by its quota, which is a line `MICROSECONDS PERIOD` in version 2 of control groups, and two files in
# version 1 (https://docs.kernel.org/admin-guide/cgroup-v2.html, .../scheduler/sched-bwc.html).
count_cpus() {
  cpus=$(nproc 2>/dev/null) || cpus=1
  quota='' period=''
  {
    read -r quota period </sys/fs/cgroup/cpu.max ||
      { read -r quota </sys/fs/cgroup/cpu/cpu.cfs_quota_us && read -r period </sys/fs/cgroup/cpu/cpu.cfs_period_us; }
  } 2>/dev/null
  case $quota$period in
  *[!0-9]* | '') ;;
  *) if [ "$quota" -lt "$((cpus * period))" ]; then cpus=$(((quota + period - 1) / period)); fi ;;
  esac
  [ "$cpus" -le 4 ] || cpus=4
}

# choose_compressor: puts in $compressor the tool and its options. rsyncable: so that a deduplicating copy of the next dump stores
# only what is different. -B4M: zstd 1.5.4 takes 29 MB of memory for two threads, and 50 MB without. pigz unpacks faster
# than gzip, and so does a zstd that was built with zlib.
choose_compressor() {
  count_cpus
  case $FILE in
  *.zst)
    compressor="zstd -q -$LEVEL -T$cpus -B4M"
    help=$(zstd -H 2>&1)
    ;;
  *)
    if command -v pigz >/dev/null; then compressor="pigz -$LEVEL -p$cpus" unpacker=pigz; else compressor="gzip -$LEVEL"; fi
    case $(zstd -vV 2>/dev/null) in *gzip*) unpacker=zstd ;; esac
    help=$("${compressor%% *}" --help 2>&1)
    ;;
  esac
  case $help in *--rsyncable*) compressor="$compressor --rsyncable" ;; esac
}

choose_compressor
MORE_TOOLS="tee ${compressor%% *}"

# report_tools: reports the compressor with its options, and what could make the dump faster.
report_tools() {
  say compressor "$compressor"
  say cpus "$cpus"
  for tool in pigz zstd; do
    if command -v "$tool" >/dev/null; then say packer "$tool"; fi
  done
  if command -v "$db_globals_tool" >/dev/null; then say globals-tool "$db_globals_tool"; fi
}

# progress: prints the size of the dump so far.
progress() { file_size "$own.dump"; }

# inspect_database: reports what there is to dump, and what the user may not read.
inspect_database() {
  db_report_facts &
  children=$!
  wait_for "$children"
}

# start_inventory, report_inventory before|after: asks the database what it holds and what its server is like, and reports the
# answers, for the proof. Only what is the same before and after the dump is noted there. A database that does not answer this does
# not make the dump fail.
start_inventory() {
  db_inventory >"$own.inventory" 2>/dev/null &
  listing=$! children="$children $!"
}
report_inventory() {
  wait_for "$listing"
  while IFS= read -r fact; do say "$1" "$fact"; done <"$own.inventory"
  rm -f "$own.inventory"
}

# compress: compresses stdin. It execs the tool.
# shellcheck disable=SC2086 # the tool and its options
compress() { exec $compressor -c; }

# watch_work: ends the dump if a part of the pipe behind tee has ended although tee lives: tee continues without it, so that
# otherwise this is noticed only when the dump is done. Each part ends right after tee does. So it must be seen three times in a
# row.
seen_gone=0
watch_work() {
  { read -r sharing parts <"$own.parts"; } 2>/dev/null || return
  part=
  for one in $parts; do
    [ -n "$part" ] || [ -e "/proc/${one%%:*}" ] || part=${one#*:}
  done
  if [ -z "$part" ] || ! [ -e "/proc/$sharing" ]; then
    seen_gone=0
    return
  fi
  seen_gone=$((seen_gone + 1))
  if [ "$seen_gone" -eq 3 ]; then
    say lost "other $part ended before the dump did"
    end_worker
  fi
}

# wait_for_part NAME PID: waits for a part of the pipe, and puts the first failure in $why.
wait_for_part() { wait_for "$2" || [ -n "$why" ] || why="$1 ended with status $status"; }

# give_to_directory_owner FILE: the owner of the directory, usually the server's user, may read the file too: backups of the data
# directory copy it.
# shellcheck disable=SC2012 # numbers, not names
give_to_directory_owner() {
  ls -lnd . | {
    read -r _ _ user group _
    chown "$user:$group" "$1" 2>/dev/null
  }
}

# wait_to_place: reports that the dump is whole, and waits for the command `place`: of several dumps none is renamed before all of
# them are whole. The time limit of the dump does not hold for this.
wait_to_place() {
  : >"$own.whole" || lost other "nothing can be written beside the dump file"
  say whole "$size"
  until [ -e "$own.place" ]; do
    main_is_alive || stop_worker
    sleep 1 >/dev/null 2>&1
  done
}

# is_running PID: whether a child has not ended, without starting a process.
is_running() {
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  case ${stat##*) } in Z* | X*) return 1 ;; esac
}

# wait_for_text: waits until some of the dump is in its file, or the dump has ended. Until then the dump tool may not have its
# connection, which a user who may open only one must not lose to a query of ours.
wait_for_text() {
  until [ -s "$own.dump" ] || ! is_running "$dumping" || ! is_running "$sharing"; do
    sleep 0.2 >/dev/null 2>&1 || sleep 1 >/dev/null 2>&1
  done
}

# undo: a dump leaves only files, and those are removed anyway.
undo() { :; }

work() {
  begin_work
  # This file starts the time limit: the database may never answer the queries before its dump.
  : >"$own.dump" || lost other "nothing can be written beside the dump file"
  start_inventory
  report_inventory before
  db_dump_mode >"$own.choice" &
  children=$!
  wait_for "$children" || lost other "the database cannot be asked what it holds"
  children=
  choice=$(cat "$own.choice")
  rm -f "$own.choice"
  say began "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  for pipe in text packed written hashed tested plain; do
    mkfifo "$own.pipe-$pipe" || lost other "a named pipe cannot be made beside the dump file"
  done
  # What is hashed and unpacked are the bytes that are written. cat writes them, because tee goes on when a disk is full.
  cat <"$own.pipe-written" >"$own.dump" &
  writing=$! children=$!
  hash_stdin <"$own.pipe-hashed" >"$own.sum" &
  hashing=$! children="$children $!"
  unpack <"$own.pipe-tested" >"$own.pipe-plain" &
  testing=$! children="$children $!"
  tail -c 500 <"$own.pipe-plain" >"$own.tail" &
  keeping=$! children="$children $!"
  tee "$own.pipe-hashed" "$own.pipe-tested" <"$own.pipe-packed" >"$own.pipe-written" &
  sharing=$! children="$children $!"
  compress <"$own.pipe-text" >"$own.pipe-packed" &
  packing=$! children="$children $!"
  echo "$sharing $writing:cat $hashing:hashing $testing:$unpacker $keeping:tail" >"$own.parts"
  db_dump "$choice" >"$own.pipe-text" &
  dumping=$! children="$children $!"
  # Many objects keep the dump tool waiting for the server, so the file of roles takes no time of its own.
  wanted=$globals
  [ "$wanted" = false ] || wait_for_text
  make_globals "$wanted" || :
  no_globals=$why
  # A tee that fails may not have opened the pipes behind it. The dump tool, which was started last, is waited for last: see
  # stop_worker. Of several that fail, the cause is reported: the end of a part can make the parts before it fail, and the
  # unpacking.
  why=
  wait_for_part tee "$sharing"
  [ -z "$why" ] || lost other "$why"
  wait_for_part cat "$writing"
  wait_for_part hashing "$hashing"
  wait_for_part tail "$keeping"
  wait_for_part "${compressor%% *}" "$packing"
  wait_for "$testing"
  tested=$status
  wait_for_part 'the dump tool' "$dumping"
  rm -f "$own.parts" "$own".pipe-*
  [ -z "$why" ] || lost other "$why"
  [ "$tested" -eq 0 ] || lost other "the compressed file does not test whole: $unpacker ended with status $tested"
  say ended "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
  # What failed beside the dump may have lacked a connection.
  [ -z "$no_globals" ] || make_globals "$wanted" || miss_globals "$wanted"
  # While the disk is busy, the database is asked.
  flush &
  flushing=$! children=$!
  start_inventory

  tail=$(tr -d '\000' <"$own.tail")
  db_is_complete "$(strip_final_newlines "$tail")" || lost other "the dump does not end as a complete one does"
  read -r sum _ <"$own.sum"
  size=$(file_size "$own.dump")
  number=$(file_inode "$own.dump")

  give_to_directory_owner "$own.dump"
  chmod 640 "$own.dump" || lost other "the dump's mode cannot be set"
  rm -f "$own.sum" "$own.tail"
  report_inventory after
  wait_for "$flushing" || lost other "the dump cannot be flushed to its disk"

  [ "$when" != later ] || wait_to_place
  holds_lock || lost other "the lock was lost to: ${line:-an unknown holder}"
  main_is_alive || lost other "the session ended"
  place_globals || lost other "the file of the $db_globals_of cannot be renamed"
  mv -f "$own.dump" "$FILE" || lost other "the dump cannot be renamed to $FILE"
  : >"$own.renamed" || lost renamed "the dump was renamed to $FILE, but nothing more can be written beside it"
  flush || lost renamed "the dump was renamed to $FILE, but its directory cannot be flushed to its disk"
  remove_other_globals
  [ -z "$globals" ] || say globals "$globals"
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

# A session in the container: does the preflight, and on a command its work, under the dump lock, which lies beside the dump file.
# dump.sh or load.sh has the work, commands.sh reads the commands. When stdin ends, or brings no heartbeat for a minute, or this
# shell is killed, the work is ended and its temporary files are removed.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
read_value && HOLDER=$VALUE
read_value && LIMIT=$VALUE
read_value && LEVEL=$VALUE
read_value && MOUNTS=$VALUE
mounts=
while [ "$MOUNTS" -gt 0 ]; do
  read_value && mounts=$mounts$VALUE$nl
  MOUNTS=$((MOUNTS - 1))
done
choose_unpacker "$FILE"
db_read_connection

# From here on only this shell reads stdin, which carries commands and heartbeats.
exec 3<&0 </dev/null
main=$$
main_started=$(start_time "$main")
me=$(container_identity)
own=$FILE.backup-ns-$NONCE
lock=$FILE.backup-ns.lock
beat=$FILE.backup-ns.beat

# run_ticker: reports `beat` with the progress every second. It ends the session if that cannot be written, or if no heartbeat
# came in for a minute: a kubelet that dies may leave stdin open forever. It cleans up if the main shell was killed, as
# containerd does when an exec over SPDY is cut off. While this session holds the dump lock, the ticker also writes its
# heartbeat to a file beside the lock, for sessions in other containers, which cannot see this process.
run_ticker() {
  trap 'unheard=0' USR1
  signs=0 unheard=0 dumped_for=0
  while sleep 1 >/dev/null 2>&1; do
    main_is_alive || clean_up_after_main
    far=$(progress 2>/dev/null) || far=0
    say beat "${far:-0}" 2>/dev/null || kill -TERM "$main"
    signs=$((signs + 1)) unheard=$((unheard + 1))
    if [ -e "$own.held" ]; then echo "$NONCE $signs" >"$beat"; fi
    if [ -e "$own.dump" ] && ! [ -e "$own.whole" ]; then
      dumped_for=$((dumped_for + 1))
      [ "$dumped_for" -ne "$LIMIT" ] || end_overdue_work
    fi
    watch_work
    [ "$unheard" -lt 60 ] || kill -TERM "$main"
  done
}

main_is_alive() { [ "$(start_time "$main")" = "$main_started" ]; }

# end_worker: ends the worker. The ticker knows it only by the file that it wrote.
end_worker() {
  if { read -r working working_started <"$own.pid"; } 2>/dev/null; then signal_process TERM "$working" "$working_started"; fi
}

end_overdue_work() {
  say lost "timeout the dump took longer than $LIMIT s"
  end_worker
}

clean_up_after_main() {
  signal_process TERM "$worker" "$worker_started"
  end_worker
  sleep 1 >/dev/null 2>&1
  remove_own_files
  exit 0
}

# remove_own_files: removes the session's files beside the dump file, and the dump lock if the session holds it.
remove_own_files() {
  if holds_lock; then rm -f "$lock" "$beat"; fi
  rm -f "$own".*
}

# end_children: ends the children. A child that has just been forked still has this shell's trap: if the signal arrives then, dash
# and busybox ash drop it with the trap. Such a child would wait forever for the other end of a named pipe. So this opens each
# pipe at both ends for a moment, and removes it.
end_children() {
  # shellcheck disable=SC2086 # process ids
  kill -TERM $children 2>/dev/null
  for pipe in "$own".pipe-*; do
    if [ -p "$pipe" ]; then { rm -f "$pipe"; } 4<>"$pipe"; fi
  done
  wait
}

# stop_worker: the trap for TERM during the work. The child that was started last may not be in $children yet.
# shellcheck disable=SC2317 # called by a trap
stop_worker() {
  [ "$!" = "$waited" ] || children="$children $!"
  end_children
  undo
  rm -f "$own".*
  exit 0
}

# wait_for PID: waits for a child in the background, with its exit status in $status, and takes it out of $children. A shell
# handles a signal only while it waits like this, not during a command in the foreground.
wait_for() {
  wait "$1"
  status=$?
  waited=$1
  case " $children " in *" $1 "*) children="${children%%"$1"*}${children#*"$1"}" ;; esac
  return "$status"
}

# preflight: reports everything that decides whether the work may start, in a shell of its own, because a database may never
# answer.
preflight() {
  children=
  waited=$!
  trap stop_worker TERM
  missing=
  # shellcheck disable=SC2086 # a list of words
  for tool in $DB_TOOLS $MORE_TOOLS sha256sum printenv readlink mkfifo cat chmod chown cut date df ln ls mv rm sleep sync tail tr wc; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  say missing "${missing# }"
  say identity "$me"
  if [ -n "$there" ]; then
    say directory "$(pwd -P)"
    say df "$(df -P -k . | tail -n 1)"
    # Not every busybox knows -i.
    say inodes "$(df -P -i . 2>/dev/null | tail -n 1)"
    if [ -w . ]; then say writable yes; fi
    if [ -d "$FILE" ]; then say occupied yes; fi
    if [ -f "$FILE" ]; then say old-bytes "$(file_size "$FILE")"; fi
    case $FILE in *.zst) other=${FILE%.zst}.gz ;; *) other=${FILE%.gz}.zst ;; esac
    if [ -f "$other" ]; then say other-format "$(file_size "$other") $other"; fi
  fi
  printf %s "$mounts" | while IFS= read -r mount; do
    say mount-at "$mount"
    say mount-is "$(cd -P -- "$mount" && pwd -P)"
  done
  while IFS= read -r mount; do say mountinfo "$mount"; done </proc/self/mountinfo
  report_tools
  say unset "${lacking# }"
  if [ -z "$missing" ]; then
    db_answers &
    children=$!
    if wait_for "$children"; then
      say answers yes
      inspect_database
    fi
    children=
    say tool "$(db_tool_version)"
    say database "$(db_name)"
  fi
  say looked yes
  exit 0
}

# The dump lock holds one line: IDENTITY PID START NONCE HOLDER. The first word of HOLDER may be claim=UID,MADE: the uid of the
# PersistentVolumeClaim whose volume the holder works on, and, if that volume was made for this claim, when the claim was created.
# read_lock: reads the lock into $line. Fails if there is none.
read_lock() {
  line=
  { IFS= read -r line <"$lock"; } 2>/dev/null
  [ -n "$line" ]
}

holds_lock() { read_lock && case $line in *" $NONCE "*) ;; *) return 1 ;; esac; }

# print_holder: prints the readable part of HOLDER.
print_holder() {
  case $line in
  *' '*' '*' '*' claim='*) printf '%s' "$line" | cut -d ' ' -f 6- ;;
  *) printf '%s' "$line" | cut -d ' ' -f 5- ;;
  esac
}

# lock_came_with_data HOLDERS-CLAIM: whether the lock was in the data of this volume from its start, because the volume was made
# from a snapshot. Then its holder worked on another volume. True only if the holder names another claim, and this volume was
# made for our claim, and the lock is older than our claim. The last excludes a volume that was bound to a second claim by hand:
# a holder that works through that claim names another claim too, but its lock is younger.
lock_came_with_data() {
  ours=${HOLDER%% *}
  case $1 in claim=?*,*) ;; *) return 1 ;; esac
  case $ours in claim=?*,?*) ;; *) return 1 ;; esac
  [ "${1%,*}" != "${ours%,*}" ] || return 1
  TZ=UTC0 touch -t "${ours#*,}" "$own.made" 2>/dev/null || return 1
  # shellcheck disable=SC3013 # -ot is POSIX since 2024; dash, busybox ash and bash have it
  [ "$lock" -ot "$own.made" ]
}

# holder_is_dead: whether the holder in $line has ended. A process of this container is looked up in /proc. Another container's is
# dead if its heartbeat file has not changed for 15 s, or if the lock came with the data.
holder_is_dead() {
  # shellcheck disable=SC2086 # fields are words
  set -- $line
  if [ "$1" = "$me" ]; then
    heard=yes
    [ "$(start_time "$2")" != "$3" ]
    return
  fi
  if lock_came_with_data "${5-}"; then return 0; fi
  seen=$(cat "$beat" 2>/dev/null)
  [ "$seen" = "${last_seen-$seen}" ] || silent=0 heard=yes
  last_seen=$seen
  silent=$((silent + 1))
  [ "$silent" -gt 15 ]
}

# take_lock: waits for the dump lock, and reports its holder: `busy` if that is known to live, `doubted` while it may be dead. The
# lock is made with ln, which creates it with its content or not at all. The lock of a dead holder is renamed and read again
# before it is removed, so that a new holder's lock is never removed.
take_lock() {
  silent=0 heard=
  until
    printf '%s %s %s %s %s\n' "$me" "$main" "$main_started" "$NONCE" "$HOLDER" >"$own.lock" || return 1
    ln "$own.lock" "$lock" 2>/dev/null
  do
    main_is_alive || stop_worker
    if read_lock; then
      if holder_is_dead; then
        judged=$line
        mv -f "$lock" "$own.stale" 2>/dev/null
        { IFS= read -r line <"$own.stale"; } 2>/dev/null
        [ "$line" = "$judged" ] || ln "$own.stale" "$lock" 2>/dev/null
        rm -f "$own.stale"
        continue
      fi
      if [ -n "$heard" ]; then word=busy; else word=doubted; fi
      say "$word" "$(print_holder)"
    elif [ ! -e "$lock" ]; then
      # There is no lock, but ln failed: this file system has no hard links, or the lock was released just now.
      tries=$((${tries-0} + 1))
      [ "$tries" -lt 5 ] || return 1
    fi
    sleep 1 >/dev/null 2>&1
  done
  rm -f "$own.lock" "$own.made"
  : >"$own.held"
}

# remove_leftovers: removes the files of sessions that were killed. This session holds the dump lock, so no other one uses them.
remove_leftovers() {
  for left in "$FILE".backup-ns-*; do
    case $left in "$own".*) ;; *) rm -f -- "$left" ;; esac
  done
}

# lost KEY WHY: ends the work without a result. KEY says what kind of reason it is: docs/architecture.md lists them.
lost() {
  end_children
  undo
  rm -f "$own.dump"
  say lost "$1 $2"
  exit 0
}

# begin_work: the first step of the work, which runs in a shell of its own: a TERM ends it with its children. Takes the dump lock.
begin_work() {
  children=
  waited=$!
  trap stop_worker TERM
  # The process id of this shell ($$ is the main shell's), for the ticker in case the main shell is killed.
  read -r self _ </proc/self/stat
  echo "$self $(start_time "$self")" >"$own.pid" || lost other "nothing can be written beside the dump file"
  main_is_alive || stop_worker
  holds_lock || take_lock || lost other "the lock beside the dump file cannot be written"
  remove_leftovers
  say locked yes
}

# finish: ends the session. The main shell may be killed at any moment of this, so the ticker, which would then clean up, is ended
# last. It may have written the heartbeat file again meanwhile, so that is removed if there is no lock.
finish() {
  trap '' TERM HUP INT
  signal_process TERM "$worker" "$worker_started"
  wait "$worker"
  remove_own_files
  signal_process TERM "$ticker" "$ticker_started"
  wait
  [ -e "$lock" ] || rm -f "$beat"
  say end yes
  exit 0
}

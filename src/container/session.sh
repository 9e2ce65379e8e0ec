# A session in the container: looks round, and when told to, does its work under the lock beside the dump file. What the work
# is, stands in dump.sh or load.sh, and commands.sh hears what is told. It lives as long as its stdin: when that ends, or
# brings no heartbeat for a minute, or this shell is killed, the work ends and its temporary files go.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
read_value && HOLDER=$VALUE
read_value && LIMIT=$VALUE
read_value && MOUNTS=$VALUE
mounts=
while [ "$MOUNTS" -gt 0 ]; do
  read_value && mounts=$mounts$VALUE$nl
  MOUNTS=$((MOUNTS - 1))
done
db_read_connection

# From here on stdin carries commands and heartbeats for this shell alone.
exec 3<&0 </dev/null
main=$$
main_started=$(start_time "$main")
me=$(container_identity)
own=$FILE.backup-ns-$NONCE
lock=$FILE.backup-ns.lock
beat=$FILE.backup-ns.beat

# run_ticker: a sign of life every second, with how far the work is. It ends the session when nobody reads that
# or when no heartbeat came in for a minute: a kubelet that dies may leave stdin open for ever. And it tidies up after a
# main shell that was killed, as containerd does at once when an exec over SPDY is cut off. While this session holds
# the lock, the sign is also left beside it, for those who cannot see this process.
run_ticker() {
  trap 'unheard=0' USR1
  signs=0 unheard=0 dumped_for=0
  while sleep 1 >/dev/null 2>&1; do
    main_is_alive || clean_up_after_main
    far=$(progress 2>/dev/null) || far=0
    say beat "${far:-0}" 2>/dev/null || kill -TERM "$main"
    signs=$((signs + 1)) unheard=$((unheard + 1))
    if [ -e "$own.held" ]; then echo "$NONCE $signs" >"$beat"; fi
    if [ -e "$own.dump" ]; then
      dumped_for=$((dumped_for + 1))
      [ "$dumped_for" -ne "$LIMIT" ] || end_overdue_work
    fi
    [ "$unheard" -lt 60 ] || kill -TERM "$main"
  done
}

main_is_alive() { [ "$(start_time "$main")" = "$main_started" ]; }

# end_worker: ends the worker, of which the ticker knows only what it wrote down.
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

# remove_own_files: nothing of this session stays beside the dump file.
remove_own_files() {
  if holds_lock; then rm -f "$lock" "$beat"; fi
  rm -f "$own".*
}

# end_children: ends the children. One that was started just now may miss the signal, because it hears it while it still has this
# shell's trap, and then forgets both. It would wait at the named pipe for its other end for ever: so the pipe is held at both
# ends for a moment, and is gone after that.
end_children() {
  # shellcheck disable=SC2086 # process ids
  kill -TERM $children 2>/dev/null
  if [ -p "$own.fifo" ]; then
    { rm -f "$own.fifo"; } 4<>"$own.fifo"
  fi
  wait
}

# stop_worker: a TERM in the middle of the work. The child that was started last may not be in the list yet.
# shellcheck disable=SC2317 # called by a trap
stop_worker() {
  [ "$!" = "$waited" ] || children="$children $!"
  end_children
  undo
  rm -f "$own".*
  exit 0
}

# Children run in the background and are waited for, because a shell hears a signal only then.
# wait_for PID: its status.
wait_for() {
  wait "$1"
  status=$?
  waited=$1
  return "$status"
}

# preflight: says all that a dump needs to know, in a shell of its own, because a database may never answer.
preflight() {
  children=
  waited=$!
  trap stop_worker TERM
  missing=
  # shellcheck disable=SC2086 # a list of words
  for tool in $DB_TOOLS $MORE_TOOLS gzip sha256sum printenv readlink mkfifo cat chmod chown cut date df ln ls mv rm sleep sync tail tr wc; do
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
  fi
  printf %s "$mounts" | while IFS= read -r mount; do
    say mount-at "$mount"
    say mount-is "$(cd -P -- "$mount" && pwd -P)"
  done
  while IFS= read -r mount; do say mountinfo "$mount"; done </proc/self/mountinfo
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
    say compressor "${compressor##*/}"
  fi
  say looked yes
  exit 0
}

# Who holds the lock, a line: IDENTITY PID START NONCE HOLDER. The first word of HOLDER may be claim=UID,MADE: the uid of the claim
# whose volume the holder works on, and, where that volume was made for this claim, when the claim was.
read_lock() {
  line=
  { IFS= read -r line <"$lock"; } 2>/dev/null
  [ -n "$line" ]
}

holds_lock() { read_lock && case $line in *" $NONCE "*) ;; *) return 1 ;; esac; }

# print_holder: who that is, for people.
print_holder() {
  case $line in
  *' '*' '*' '*' claim='*) printf '%s' "$line" | cut -d ' ' -f 6- ;;
  *) printf '%s' "$line" | cut -d ' ' -f 5- ;;
  esac
}

# lock_came_with_data HOLDERS-CLAIM: whether the lock came with the data of this volume, as into one that is made from a snapshot. Then its
# holder worked on another volume, and does not hold it here. All of this must hold: the holder named another claim; this volume was
# made for our claim, so it was never another's; and the lock is older than our claim. The last is for a volume that somebody
# gave to a second claim by hand: who works through that one names another claim, but its lock is younger.
lock_came_with_data() {
  ours=${HOLDER%% *}
  case $1 in claim=?*,*) ;; *) return 1 ;; esac
  case $ours in claim=?*,?*) ;; *) return 1 ;; esac
  [ "${1%,*}" != "${ours%,*}" ] || return 1
  TZ=UTC0 touch -t "${ours#*,}" "$own.made" 2>/dev/null || return 1
  # shellcheck disable=SC3013 # every shell that is met has it
  [ "$lock" -ot "$own.made" ]
}

# holder_is_dead: whether the holder in $line is gone. A process of this very container is looked up; of any other the sign
# of life is watched for longer than it may be silent, unless the lock is one that came with the data.
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

# take_lock: waits for the lock on the dump file, saying who holds it: `busy` where that one is known to live, `doubted` as long as
# it may be dead. A link is made whole or not at all, which a written
# file is not. A dead holder's lock is moved away first and looked at again, so that no living one is thrown out.
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
      # Neither there nor to be made: this file system has no links, or the lock was let go just now.
      tries=$((${tries-0} + 1))
      [ "$tries" -lt 5 ] || return 1
    fi
    sleep 1 >/dev/null 2>&1
  done
  rm -f "$own.lock" "$own.made"
  : >"$own.held"
}

# remove_leftovers: what sessions that were killed left behind; the lock is ours, so nobody is at work on them.
remove_leftovers() {
  for left in "$FILE".backup-ns-*; do
    case $left in "$own".*) ;; *) rm -f -- "$left" ;; esac
  done
}

# lost KEY WHY: the end of work that does not count. The keys are in docs/architecture.md.
lost() {
  end_children
  undo
  rm -f "$own.dump"
  say lost "$1 $2"
  exit 0
}

# begin_work: the first thing that work does, in a shell of its own, which a TERM ends together with its children: takes the
# lock.
begin_work() {
  children=
  waited=$!
  trap stop_worker TERM
  # The process id of this very shell, which $$ is not: for the ticker, should the main shell be killed.
  read -r self _ </proc/self/stat
  echo "$self $(start_time "$self")" >"$own.pid" || lost other "nothing can be written beside the dump file"
  main_is_alive || stop_worker
  take_lock || lost other "the lock beside the dump file cannot be written"
  remove_leftovers
  say locked yes
}

# finish: the end of the main shell. It may be killed at any moment of it, so the ticker, which tidies up after it then,
# is ended last; a sign of life that it left after that is nobody's once the lock is gone.
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

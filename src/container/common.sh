# Functions for every script in a database's container: POSIX sh, static text. Values come as lines on stdin, never as
# text of the script; reports go as `NONCE KEY VALUE` lines to stdout.
set -u
umask 077

# First, do no harm. Where the database's server is process 1, it adopts every process whose parent has died, takes one that
# ends by a signal or with a status above 1 for a crashed server process, and restarts the database. So whoever is
# killed is waited for by its parent, whatever may be orphaned ends with 0 or 1, and nobody dies of a broken pipe.
trap '' PIPE
export LC_ALL=C
# Passwords stand in the memory of what is started here.
# shellcheck disable=SC3045 # every shell that is met has it, and goes on without
ulimit -c 0 2>/dev/null || :

nl='
'

# say KEY VALUE: one line of the report, in one write.
say() { printf '%s %s %s\n' "$NONCE" "$1" "$2"; }

# read_value: the next value from stdin in $VALUE.
read_value() {
  IFS= read -r VALUE || exit 70
  VALUE=$(printf '%b_' "$VALUE")
  VALUE=${VALUE%_}
}

# resolve SPEC: `=literal`, or `$NAME` for a variable of this container or the file that NAME_FILE names, as the
# official images read them. Puts it in $VALUE; fails when neither is set or both are empty, and notes the name in $lacking.
lacking=
resolve() {
  case $1 in
  =*) VALUE=${1#=} ;;
  *)
    VALUE=$(printenv "${1#?}" && echo _) && VALUE=${VALUE%"$nl"_} || VALUE=
    if [ -z "$VALUE" ] && file=$(printenv "${1#?}_FILE") && [ -n "$file" ]; then
      VALUE=$(cat -- "$file" 2>/dev/null) || {
        echo "${1#?}_FILE names $file, which cannot be read in the container: $(cat -- "$file" 2>&1 >/dev/null)" >&2
        exit 71
      }
    fi
    [ -n "$VALUE" ] || {
      lacking="$lacking ${1#?}"
      return 1
    }
    ;;
  esac
}

# start_time PID: when a process started, in clock ticks since boot; field 22 of proc_pid_stat(5), counted from behind the
# process name, which may hold anything.
start_time() {
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086 # fields are words
  set -- ${stat##*) }
  # A dead process that nobody has taken notice of yet is none.
  case $1 in Z | X) return 1 ;; esac
  echo "${20}"
}

# signal_process SIGNAL PID START: a process id may be another's by the time it is signalled (bash reaps its children
# unasked), so it is signalled only if it still started when ours did.
signal_process() {
  if [ -n "$3" ] && [ "$(start_time "$2")" = "$3" ]; then kill "-$1" "$2" 2>/dev/null; fi
}

# container_identity: tells this run of this container from every other: boot, process namespace, start of its first process.
container_identity() {
  boot=-
  IFS= read -r boot </proc/sys/kernel/random/boot_id
  echo "$boot,$(readlink /proc/self/ns/pid || echo -),$(start_time 1 || echo -)"
}

# strip_final_newlines TEXT: without newlines at its end, which a command substitution takes off.
strip_final_newlines() { printf '%s' "$1"; }

# file_size FILE, file_inode FILE: of a file. `wc -c` would read all of it in busybox.
# shellcheck disable=SC2012 # numbers, not names
file_size() { ls -lnd -- "$1" | { read -r _ _ _ _ n _ && echo "$n"; }; }
# shellcheck disable=SC2012
file_inode() { ls -id -- "$1" | { read -r n _ && echo "$n"; }; }

# flush: everything written to the file system of the current directory is on its disk when this returns, or it fails.
# Where `sync` knows no -f it flushes all file systems.
flush() {
  if sync -f /proc 2>/dev/null; then sync -f .; else sync; fi
}

# start_heartbeat: a sign of life every second or two, as long as somebody reads it and this shell lives. stop_heartbeat: no more of them.
start_heartbeat() {
  {
    while sleep 2 >/dev/null 2>&1 && start_time $$ >/dev/null; do say beat 0 2>/dev/null || break; done
    exit 0
  } &
  ticker=$!
}
stop_heartbeat() {
  kill -TERM "$ticker" 2>/dev/null
  wait
}

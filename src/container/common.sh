# Functions for every script in a database's container: POSIX sh, static text. Values are read as lines from stdin, never as
# text of the script; reports are written as `NONCE KEY VALUE` lines to stdout. docs/architecture.md lists the keys.
set -u
umask 077

# Where the database's server is process 1, it adopts every process whose parent has died. If such a process ends by a signal
# or with a status above 1, the server takes it for a crashed server process and restarts the database. So each process that
# is killed here is waited for by its parent, each one that may lose its parent ends with 0 or 1, and SIGPIPE is ignored.
trap '' PIPE
export LC_ALL=C
# No core dumps: the memory of the processes that are started here holds passwords.
# shellcheck disable=SC3045 # dash, busybox ash and bash have -c; without it the script continues
ulimit -c 0 2>/dev/null || :

nl='
'

# say KEY VALUE: writes one line of the report, in one write.
say() { printf '%s %s %s\n' "$NONCE" "$1" "$2"; }

# read_value: reads the next value from stdin into $VALUE.
read_value() {
  IFS= read -r VALUE || exit 70
  VALUE=$(printf '%b_' "$VALUE")
  VALUE=${VALUE%_}
}

# resolve SPEC: puts the value of SPEC in $VALUE. SPEC is `=literal`, or `$NAME` for the container's variable NAME or else the
# content of the file that NAME_FILE names, as the official images read them. Fails if neither is set or both are empty, and
# adds the name to $lacking.
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

# start_time PID: prints when a process started, in clock ticks since boot: field 22 of proc_pid_stat(5), counted after the
# process name, which may hold any characters. Fails if the process does not exist or has ended.
start_time() {
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086 # fields are words
  set -- ${stat##*) }
  # Z: ended, but its parent has not waited for it yet.
  case $1 in Z | X) return 1 ;; esac
  echo "${20}"
}

# signal_process SIGNAL PID START: signals the process if it started at START. Otherwise the process id was given to another
# process meanwhile: bash waits for its children on its own, which frees their ids.
signal_process() {
  if [ -n "$3" ] && [ "$(start_time "$2")" = "$3" ]; then kill "-$1" "$2" 2>/dev/null; fi
}

# container_identity: prints what is different for every run of every container: the node's boot id, the process namespace, and
# the start time of process 1.
container_identity() {
  boot=-
  IFS= read -r boot </proc/sys/kernel/random/boot_id
  echo "$boot,$(readlink /proc/self/ns/pid || echo -),$(start_time 1 || echo -)"
}

# strip_final_newlines TEXT: prints TEXT. The command substitution around the call removes the newlines at its end.
strip_final_newlines() { printf '%s' "$1"; }

# file_size FILE, file_inode FILE: `wc -c` would read the whole file in busybox.
# shellcheck disable=SC2012 # numbers, not names
file_size() { ls -lnd -- "$1" | { read -r _ _ _ _ n _ && echo "$n"; }; }
# shellcheck disable=SC2012
file_inode() { ls -id -- "$1" | { read -r n _ && echo "$n"; }; }

# choose_unpacker FILE: sets $unpacker by the suffix of a dump file. Only a file that was received may be plain text.
choose_unpacker() {
  case $1 in
  *.zst) unpacker=zstd ;;
  *.backup-ns-*.from.sql) unpacker='cat' ;;
  *) unpacker=gzip ;;
  esac
}

# unpack: unpacks stdin. It execs the tool.
unpack() {
  case $unpacker in
  zstd) exec zstd -q -dc ;;
  cat) exec cat ;;
  *) exec "$unpacker" -dc ;;
  esac
}

# hash_stdin: prints the SHA-256 of stdin as the first word of a line. It execs the tool: openssl, if its hash of nothing is right,
# takes a quarter of the time of sha256sum, because it uses the instructions that the CPU has for it.
hash_stdin() {
  case $(openssl dgst -sha256 -r </dev/null 2>/dev/null) in
  e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855*) exec openssl dgst -sha256 -r ;;
  *) exec sha256sum ;;
  esac
}

# print_sha256: prints the SHA-256 of stdin and nothing else, or fails.
print_sha256() {
  hashed=$(hash_stdin) || return
  echo "${hashed%% *}"
}

# flush: writes the file system of the current directory to its disk, or fails. If `sync` has no -f, it flushes all file
# systems.
flush() {
  if sync -f /proc 2>/dev/null; then sync -f .; else sync; fi
}

# start_heartbeat: starts a process that reports `beat` every two seconds, until the stream breaks, this shell ends, or
# stop_heartbeat is called.
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

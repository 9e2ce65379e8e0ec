# One restore test, in a pod of its own: is the dump the proven one, whole and complete, can it be loaded, does the server
# hold then what the file holds; and can the server run on the data directory itself. Its words: `bad` for what is wrong
# with the backup, `lost` for what keeps the test from being made. Whatever it starts ends with the pod.

take && NONCE=$VALUE
take && VOLUME=$VALUE
take && SCRATCH=$VALUE
take && FILE=$VALUE
take && BYTES=$VALUE
take && SUM=$VALUE
take && DATABASE=$VALUE
take && QUERY=$VALUE
take && PHYSICAL=$VALUE
# What the proof notes: `KIND NUMBER` and `NAME VALUE`, a line each.
take && OBJECTS=$VALUE
take && LIKE=$VALUE

exec 3<&0 </dev/null
main=$$
main_started=$(started "$main")
export TMPDIR="$SCRATCH"

# ticker: a sign of life every second, with how much of the file has been read.
ticker() {
  while sleep 1 >/dev/null 2>&1 && [ "$(started "$main")" = "$main_started" ]; do
    at=
    if { read -r pid <"$SCRATCH/reading"; } 2>/dev/null; then
      at=$(sed -n 's/^pos:[^0-9]*//p' "/proc/$pid/fdinfo/0" 2>/dev/null)
    fi
    say beat "${at:-0}" 2>/dev/null || break
  done
  exit 0
}

# complaints: what the tools said, without the statements and rows that some of them add.
complaints() {
  sed -n -e '/^ERROR/p' -e '/^FATAL/p' -e '/^[a-z_-]*:/p' "$SCRATCH/errors" 2>/dev/null | grep -v 'Broken pipe'
}

# bad WHY, lost WHY: the end of the test. What was said last goes to stderr.
bad() {
  complaints | tail -n 5 >&2
  server_stop
  say bad "$1"
  exit 0
}
lost() {
  complaints | tail -n 5 >&2
  tail -n 10 "$SCRATCH/log" >&2 2>/dev/null
  server_stop
  say lost "$1"
  exit 0
}

# as PROGRAM ARGUMENTS...: replaces the shell that it is called in; as $uid:$gid where this is root, as whom no server runs.
as() {
  [ "$(id -u)" = 0 ] || exec "$@"
  if setpriv --reuid="$uid" --regid="$gid" --clear-groups true 2>/dev/null; then
    exec setpriv --reuid="$uid" --regid="$gid" --clear-groups "$@"
  fi
  for tool in gosu su-exec; do
    if command -v "$tool" >/dev/null; then exec "$tool" "$uid:$gid" "$@"; fi
  done
  echo 'nothing here can become the user of the server: no setpriv, gosu or su-exec' >&2
  exit 1
}

# owner FOLDER: whose it is, in $uid and $gid.
# shellcheck disable=SC2012 # numbers, not names
owner() {
  uid=$(ls -lnd -- "$1" | { read -r _ _ user _ && echo "$user"; })
  gid=$(ls -lnd -- "$1" | { read -r _ _ _ group _ && echo "$group"; })
}

# user_of NAME: the server's, in $uid and $gid; where the image has none, whose the dump is.
user_of() {
  if id -u "$1" >/dev/null 2>&1; then
    uid=$(id -u "$1")
    gid=$(id -g "$1")
  else
    owner "$FILE"
  fi
}

# folder NAME: a fresh one for the server, in $made.
folder() {
  made=$SCRATCH/$1
  mkdir "$made" || lost 'nothing can be written in the scratch volume'
  if [ "$(id -u)" = 0 ]; then chown "$uid:$gid" "$made"; fi
  chmod 700 "$made"
}

server='' server_started=''
server_runs() { [ -n "$server_started" ] && [ "$(started "$server")" = "$server_started" ]; }

# server_start PROGRAM ARGUMENTS...: and waits until it answers. Recovery takes its time; how long all may take is not
# decided here.
server_start() {
  (as "$@") >>"$SCRATCH/log" 2>&1 3<&- &
  server=$!
  server_started=$(started "$server")
  while ! db_up >/dev/null 2>&1; do
    server_runs || return 1
    sleep 0.2 >/dev/null 2>&1 || sleep 1
  done
}

# server_stop: orderly.
server_stop() {
  if server_runs; then kill "-$STOP" "$server" && wait "$server"; fi
  server_started=
}

# full: whether what went wrong did so for want of space, memory or something that the image lacks.
full() {
  server_runs || return 0
  { complaints; tail -n 20 "$SCRATCH/log"; } | grep -q -i -E "$NOT_THE_DUMP" && return 0
  df -P -k "$SCRATCH" | { read -r _ && read -r _ _ _ free _ && [ "${free:-0}" -lt 1024 ]; }
}

# unpack: the dump as text into the pipe, in the background; whether it was whole says wait.
unpack() {
  gzip -dc <"$FILE" >"$SCRATCH/pipe" 2>>"$SCRATCH/errors" &
  unpacking=$!
  echo "$unpacking" >"$SCRATCH/reading"
}

# in_volume NAME...: the first folder of the volume, or up to three below, that has all of these, in $found.
in_volume() {
  for below in '' '/*' '/*/*' '/*/*/*'; do
    # shellcheck disable=SC2086 # a pattern; the volume's path has no spaces
    for found in $VOLUME$below; do
      [ -d "$found" ] || continue
      for name in "$@"; do
        [ -e "$found/$name" ] || continue 2
      done
      return 0
    done
  done
  return 1
}

missing_tools() {
  missing=
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  [ -z "$missing" ] || lost "the image lacks${missing}"
}

check_file() {
  say step file
  FILE=$VOLUME/$FILE
  if ! [ -f "$FILE" ] || ! [ -r "$FILE" ]; then
    case $(cat -- "$FILE" 2>&1 >/dev/null) in
    *ermission*) lost 'the user of the pod may not read the dump file' ;;
    *) bad 'the dump file is not there' ;;
    esac
  fi
  size=$(bytes "$FILE")
  [ "$size" = "$BYTES" ] || bad "the dump file has $size bytes, the proof says $BYTES"
  sha256sum <"$FILE" >"$SCRATCH/sum" 2>"$SCRATCH/errors" &
  echo "$!" >"$SCRATCH/reading"
  wait "$!" || bad 'the dump file cannot be read'
  read -r sum _ <"$SCRATCH/sum"
  [ "$sum" = "$SUM" ] || bad 'the SHA-256 of the dump file is not that of the proof'
}

# read_dump: one pass over the text: is it whole, does it end as a complete one, and what does it hold.
read_dump() {
  say step read
  mkfifo "$SCRATCH/pipe" "$SCRATCH/text" || lost 'no named pipe can be made in the scratch volume'
  unpack
  db_facts <"$SCRATCH/text" >"$SCRATCH/facts" 2>"$SCRATCH/errors" &
  counting=$!
  tee "$SCRATCH/text" <"$SCRATCH/pipe" | tail -c 500 >"$SCRATCH/tail"
  wait "$unpacking" || bad 'the compressed dump does not test whole'
  wait "$counting" || lost 'the dump could not be counted'
  tail=$(tr -d '\000' <"$SCRATCH/tail")
  db_complete "$(stripped "$tail")" || bad 'the dump does not end as a complete one does'
  db_header
}

load() {
  say step load
  unpack
  db_load <"$SCRATCH/pipe" >/dev/null 2>"$SCRATCH/errors"
  loaded=$?
  wait "$unpacking"
  unpacked=$?
  if [ "$loaded" -ne 0 ]; then
    if full; then lost 'the scratch server could not take the dump'; fi
    bad 'the dump cannot be loaded'
  fi
  [ "$unpacked" -eq 0 ] || bad 'the compressed dump does not test whole'
  rm -f "$SCRATCH/reading"
}

# count: every table, in the server and in the file.
count() {
  say step count
  db_counts >"$SCRATCH/questions"
  db_ask <"$SCRATCH/questions" >"$SCRATCH/counts" 2>"$SCRATCH/errors"
  # A line: number of the table, rows in the file, rows in the server, whether more may be there.
  wrong=$(awk '
    { if ($4 ? $3 < $2 : $3 != $2) wrong = wrong " " $1; all++ }
    END { print all + 0 wrong }' "$SCRATCH/counts")
  tables=$(grep -c '^table' "$SCRATCH/facts")
  if [ "$wrong" != "$tables" ]; then
    if full; then lost 'the scratch server could not count its tables'; fi
    [ "${wrong%% *}" = "$tables" ] || bad "of $tables tables in the dump only ${wrong%% *} can be read in the server"
    first=${wrong#* }
    first=${first%% *}
    bad "a table does not hold the rows of the dump: $(grep '^table' "$SCRATCH/facts" | sed -n "${first}p" | cut -f 3-)"
  fi
  say tables "$tables"
  say rows "$(awk -F '\t' '$1 == "table" { rows += $2 } END { printf "%.0f", rows }' "$SCRATCH/facts")"
}

query() {
  [ -n "$QUERY" ] || return
  say step query
  # The answer to a second one says that the first was run: an open quote at its end is no error to a client of MySQL.
  answer=$(printf "%s\n;\nSELECT 'asked';\n" "$QUERY" | db_ask 2>"$SCRATCH/errors") || answer=
  case $answer in
  asked | *"$nl"asked) ;;
  *)
    if full; then lost 'the scratch server could not answer the query'; fi
    lost 'the scratch server does not take the query'
    ;;
  esac
  case ${answer%"$nl"asked} in 1 | t | true | T | TRUE | True) ;; *) bad 'the query did not return true' ;; esac
  say query yes
}

physical() {
  [ -n "$PHYSICAL" ] || return
  say step physical
  : >"$SCRATCH/errors"
  db_find || bad 'no data directory is in the volume'
  owner "$found"
  db_start_on "$found" || bad 'the server does not start on the data directory'
  db_read 2>"$SCRATCH/errors" || bad 'the data directory cannot be read to its end'
  server_stop
  say physical yes
}

work() {
  missing_tools sha256sum gzip awk mkfifo tail tee tr cut grep sed df id ls mkdir chmod chown
  db_tools
  say server "$(db_server)"
  if [ -n "$FILE" ]; then
    check_file
    read_dump
    say step server
    db_make
    load
    count
    query
    server_stop
  fi
  physical
  say end good
  exit 0
}

ticker &
work &
# A line from the other side now and then: without, the pod ends.
heard=0
while IFS=' ' read -r _ <&3; do
  heard=$((heard + 1))
  echo "$heard" >"$SCRATCH/beat"
done
: >"$SCRATCH/done"
exit 0

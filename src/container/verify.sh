# One restore test, in a pod of its own: is the dump the proven one, whole and complete, can it be loaded, does the server
# hold then what the file and the database held; and can the server run on the data directory itself. Its words: `bad` for
# what is wrong with the backup, which only the backup itself can show, `lost KIND` for all that keeps the test from being
# made. Whatever it starts ends with the pod.

read_value && NONCE=$VALUE
read_value && VOLUME=$VALUE
read_value && SCRATCH=$VALUE
read_value && FILE=$VALUE
read_value && BYTES=$VALUE
read_value && SUM=$VALUE
read_value && DATABASE=$VALUE
read_value && QUERY=$VALUE
read_value && PHYSICAL=$VALUE
# What the proof notes: `KIND NUMBER` and `NAME VALUE`, a line each.
read_value && OBJECTS=$VALUE
read_value && LIKE=$VALUE

exec 3<&0 </dev/null
main=$$
main_started=$(start_time "$main")
export TMPDIR="$SCRATCH"

# run_ticker: a sign of life every second, with how much of the file has been read.
run_ticker() {
  while sleep 1 >/dev/null 2>&1 && [ "$(start_time "$main")" = "$main_started" ]; do
    at=
    if { read -r pid <"$SCRATCH/reading"; } 2>/dev/null; then
      at=$(sed -n 's/^pos:[^0-9]*//p' "/proc/$pid/fdinfo/0" 2>/dev/null)
    fi
    say beat "${at:-0}" 2>/dev/null || break
  done
  exit 0
}

# tool_errors: what the tools said, without the statements and rows that some of them add.
tool_errors() {
  sed -n -e '/^ERROR/p' -e '/^FATAL/p' -e '/^[a-z_-]*:/p' "$SCRATCH/errors" 2>/dev/null | grep -v 'Broken pipe'
}

# bad WHY, lost KIND WHY: the end of the test. What was said last goes to stderr. The kinds: what the `image` lacks, `space`,
# `memory` or the `user` is in the way, the `query`, the `load` or the `data` directory is refused, or anything else `other`.
bad() {
  tool_errors | tail -n 5 >&2
  stop_server
  say bad "$1"
  exit 0
}
lost() {
  tool_errors | tail -n 5 >&2
  tail -n 10 "$SCRATCH/log" >&2 2>/dev/null
  stop_server
  say lost "$1 $2"
  exit 0
}

# was_logged PATTERN: whether the tools or the server said so.
was_logged() {
  { tool_errors; tail -n 40 "$SCRATCH/log"; } 2>/dev/null | grep -q -i -E "$1"
}

# lost_for_known_cause WHY STATUS: the end without a verdict where what is round the backup went wrong: no room, no memory, something that
# the image lacks, or a tool or server that did not end by itself.
lost_for_known_cause() {
  if was_logged "$NO_ROOM" || df -P -k "$SCRATCH" | { read -r _ && read -r _ _ _ free _ && [ "${free:-0}" -lt 1024 ]; }; then
    lost space "$1"
  fi
  if [ "$2" -gt 128 ] || was_logged "$NO_MEMORY"; then lost memory "$1"; fi
  if tool_errors | grep -q -i -E "$LACKING" || { ! server_is_running && was_logged "$LACKING"; }; then lost image "$1"; fi
}

# proof_property NAME: what the proof notes of the server, nothing where it does not.
proof_property() { printf '%s' "$LIKE" | sed -n "s/^$1 //p" | head -n 1; }

# as_server_user PROGRAM ARGUMENTS...: replaces the shell that it is called in; as $uid:$gid where this is root, as whom no server runs.
as_server_user() {
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

# set_owner_of FOLDER: whose it is, in $uid and $gid.
# shellcheck disable=SC2012 # numbers, not names
set_owner_of() {
  uid=$(ls -lnd -- "$1" | { read -r _ _ user _ && echo "$user"; })
  gid=$(ls -lnd -- "$1" | { read -r _ _ _ group _ && echo "$group"; })
}

# set_server_user NAME: the server's, in $uid and $gid; where the image has none, whose the dump is.
set_server_user() {
  if id -u "$1" >/dev/null 2>&1; then
    uid=$(id -u "$1")
    gid=$(id -g "$1")
  else
    set_owner_of "$FILE"
  fi
}

# make_folder NAME: a fresh one for the server, in $made.
make_folder() {
  made=$SCRATCH/$1
  mkdir "$made" || lost space 'nothing can be written in the scratch volume'
  if [ "$(id -u)" = 0 ]; then chown "$uid:$gid" "$made"; fi
  chmod 700 "$made"
}

server='' server_started=''
server_is_running() { [ -n "$server_started" ] && [ "$(start_time "$server")" = "$server_started" ]; }

# start_server PROGRAM ARGUMENTS...: and waits until it answers. Recovery takes its time; how long all may take is not
# decided here.
start_server() {
  (as_server_user "$@") >>"$SCRATCH/log" 2>&1 3<&- &
  server=$!
  server_started=$(start_time "$server")
  while ! db_is_up >/dev/null 2>&1; do
    server_is_running || return 1
    sleep 0.2 >/dev/null 2>&1 || sleep 1
  done
}

# stop_server: orderly.
stop_server() {
  if server_is_running; then kill "-$STOP" "$server" && wait "$server"; fi
  server_started=
}

# start_unpacking: the dump as text into the pipe, in the background; whether it was whole says check_unpacking.
start_unpacking() {
  gzip -dc <"$FILE" >"$SCRATCH/pipe" 2>"$SCRATCH/unpacking" &
  unpacking=$!
  echo "$unpacking" >"$SCRATCH/reading"
}

# check_unpacking: whether the dump was read to its end, or as far as the reader wanted. It is bad only where gzip says what is
# wrong with the file; one that was killed, or could not read, says nothing about it.
check_unpacking() {
  wait "$unpacking"
  status=$?
  if [ "$status" -eq 0 ] || grep -q -i -E 'broken pipe|write error' "$SCRATCH/unpacking"; then return; fi
  cat "$SCRATCH/unpacking" >&2
  if [ "$status" -le 128 ] && grep -q -i -E 'unexpected end|crc error|length error|format violated|not in gzip format|invalid (compressed|magic)|corrupted data|short read' "$SCRATCH/unpacking"; then
    bad 'the compressed dump does not test whole'
  fi
  lost other "the dump could not be unpacked: gzip ended with status $status"
}

# find_in_volume NAME...: the first folder of the volume, or up to three below, that has all of these, in $found.
find_in_volume() {
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

require_tools() {
  missing=
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  [ -z "$missing" ] || lost image "the image lacks${missing}"
}

check_file() {
  say step file
  FILE=$VOLUME/$FILE
  if ! [ -f "$FILE" ] || ! [ -r "$FILE" ]; then
    said=$(cat -- "$FILE" 2>&1 >/dev/null)
    case $said in
    *'No such file'*) bad 'the dump file is not there' ;;
    *'s a directory'*) bad 'the dump file is a directory' ;;
    esac
    printf '%s\n' "$said" >&2
    case $said in *ermission*) lost user 'the user of the pod may not read the dump file' ;; esac
    lost other 'the dump file cannot be read'
  fi
  size=$(file_size "$FILE")
  [ "$size" = "$BYTES" ] || bad "the dump file has $size bytes, the proof says $BYTES"
  sha256sum <"$FILE" >"$SCRATCH/sum" 2>"$SCRATCH/errors" &
  echo "$!" >"$SCRATCH/reading"
  wait "$!" || lost other "the dump file could not be read: sha256sum ended with status $?"
  read -r sum _ <"$SCRATCH/sum" || lost space 'nothing can be written in the scratch volume'
  [ "$sum" = "$SUM" ] || bad 'the SHA-256 of the dump file is not that of the proof'
}

# read_dump: one pass over the text: is it whole, does it end as a complete one, and what does it hold.
read_dump() {
  say step read
  mkfifo "$SCRATCH/pipe" "$SCRATCH/text" || lost space 'no named pipe can be made in the scratch volume'
  start_unpacking
  db_dump_facts <"$SCRATCH/text" >"$SCRATCH/facts" 2>"$SCRATCH/errors" &
  counting=$!
  {
    tee "$SCRATCH/text" <"$SCRATCH/pipe" || echo failed >"$SCRATCH/tee"
  } | tail -c 500 >"$SCRATCH/tail" || {
    lost_for_known_cause 'the end of the dump could not be looked at' 0
    lost other 'the end of the dump could not be looked at'
  }
  check_unpacking
  wait "$counting" || lost other "the dump could not be counted: awk ended with status $?"
  if [ -e "$SCRATCH/tee" ] || [ "$status" -ne 0 ]; then
    lost_for_known_cause 'the dump could not be read to its end' 0
    lost other 'the dump could not be read to its end'
  fi
  # What counts ends with a line of its own, so that a full disk does not make the counts of some tables those of all.
  if ! [ -s "$SCRATCH/tail" ] || [ "$(tail -n 1 "$SCRATCH/facts")" != end ]; then
    lost space 'nothing can be written in the scratch volume'
  fi
  tail=$(tr -d '\000' <"$SCRATCH/tail")
  db_is_complete "$(strip_final_newlines "$tail")" || bad 'the dump does not end as a complete one does'
  db_check_header
}

# load_dump: the text goes through db_filter into db_load. Only what the server says of the text itself makes the dump bad, and only
# one of the version that it is of.
load_dump() {
  say step load
  rm -f "$SCRATCH/text"
  mkfifo "$SCRATCH/text" || lost space 'no named pipe can be made in the scratch volume'
  start_unpacking
  db_filter <"$SCRATCH/pipe" >"$SCRATCH/text" 2>"$SCRATCH/filtering" &
  filtering=$!
  # In a shell without children: busybox ash gives up to open a named pipe when one of its children ends.
  (db_load <"$SCRATCH/text" >/dev/null 2>"$SCRATCH/errors")
  loaded=$?
  check_unpacking
  wait "$filtering"
  filtered=$?
  rm -f "$SCRATCH/reading"
  if [ "$filtered" -ne 0 ] && [ "$loaded" -eq 0 ]; then
    lost other "the dump could not be read to its end: awk ended with status $filtered"
  fi
  if [ "$loaded" -ne 0 ]; then
    why='the scratch server could not take the dump'
    lost_for_known_cause "$why" "$loaded"
    server_is_running || lost memory "$why: it ended"
    # A broken pipe: gawk does not ignore it, which is 141, and mawk may say so and then abort.
    if [ "$filtered" -gt 128 ] && [ "$filtered" -ne 141 ] && ! grep -q -i 'broken pipe' "$SCRATCH/filtering"; then
      lost memory "$why: awk ended with status $filtered"
    fi
    if db_is_same_version && tool_errors | grep -q -E "$DUMP_AT_FAULT"; then bad 'the dump cannot be loaded'; fi
    lost load "$why"
  fi
  [ "$status" -eq 0 ] || lost other 'the dump could not be read to its end'
  db_after_load
}

# count_rows: every table, in the server and in the file.
count_rows() {
  say step count
  db_count_queries >"$SCRATCH/questions"
  db_ask <"$SCRATCH/questions" >"$SCRATCH/counts" 2>"$SCRATCH/errors"
  asked=$?
  # A line: number of the table, rows in the file, rows in the server, whether more may be there.
  wrong=$(awk '
    { if ($4 ? $3 < $2 : $3 != $2) wrong = wrong " " $1; all++ }
    END { print all + 0 wrong }' "$SCRATCH/counts")
  tables=$(grep -c '^table' "$SCRATCH/facts")
  if [ "$asked" -ne 0 ] || [ "${wrong%% *}" != "$tables" ]; then
    lost_for_known_cause 'the scratch server could not count its tables' "$asked"
    lost other "the scratch server counted ${wrong%% *} of $tables tables"
  fi
  if [ "$wrong" != "$tables" ]; then
    first=${wrong#* }
    first=${first%% *}
    bad "a table does not hold the rows of the dump: $(grep '^table' "$SCRATCH/facts" | sed -n "${first}p" | cut -f 3- | tr '\036' ' ')"
  fi
  say tables "$tables"
  say rows "$(awk -F '\t' '$1 == "table" { rows += $2 } END { printf "%.0f", rows }' "$SCRATCH/facts")"
}

# compare_objects: of each kind of objects the server holds at least as many as the database did. Another version may count otherwise.
compare_objects() {
  if [ -z "$OBJECTS" ] || ! db_is_same_version; then return; fi
  say step compare
  printf '%s' "$OBJECTS" >"$SCRATCH/objects"
  (db_inventory) >"$SCRATCH/inventory" 2>"$SCRATCH/errors" || {
    lost_for_known_cause 'the scratch server could not say what it holds' "$?"
    lost other 'the scratch server could not say what it holds'
  }
  [ -s "$SCRATCH/inventory" ] || return 0
  fewer=$(awk '
    NR == FNR { if ($1 == "object") has[$2] = $3; next }
    has[$1] + 0 < $2 { print $1 ": " has[$1] + 0 " of " $2; exit }' "$SCRATCH/inventory" "$SCRATCH/objects")
  [ -z "$fewer" ] || bad "the dump does not hold all that the database held, $fewer"
  say objects "$(grep -c . "$SCRATCH/objects")"
}

# test_replace: the way of a load into a database that holds the objects already.
test_replace() {
  db_test_replace || {
    lost_for_known_cause "$why" 0
    server_is_running || lost memory "$why: the scratch server ended"
    lost load "$why"
  }
}

run_query() {
  [ -n "$QUERY" ] || return
  say step query
  # The answer to a second one says that the first was run: an open quote at its end is no error to a client of MySQL.
  answer=$(printf "%s\n;\nSELECT 'asked';\n" "$QUERY" | db_ask 2>"$SCRATCH/errors") || answer=
  case $answer in
  asked | *"$nl"asked) ;;
  *)
    lost_for_known_cause 'the scratch server could not answer the query' 0
    server_is_running || lost memory 'the scratch server could not answer the query: it ended'
    lost query 'the scratch server does not take the query'
    ;;
  esac
  case ${answer%"$nl"asked} in 1 | t | true | T | TRUE | True) ;; *) bad 'the query did not return true' ;; esac
  say query yes
}

test_data_directory() {
  [ -n "$PHYSICAL" ] || return
  say step physical
  : >"$SCRATCH/errors"
  : >"$SCRATCH/log"
  db_find_data || lost other 'no data directory is in the volume'
  set_owner_of "$found"
  db_check_major "$found"
  db_start_on_data "$found" || judge_data_error 'the server does not start on the data directory'
  db_read_data 2>"$SCRATCH/errors" || judge_data_error 'the data directory cannot be read to its end'
  stop_server
  say physical yes
}

# judge_data_error WHY: the data directory is bad only where the server says what in it is.
judge_data_error() {
  lost_for_known_cause "$1" 0
  if was_logged "$DATA_AT_FAULT" && ! was_logged "$NOT_THE_DATA"; then bad "$1"; fi
  lost data "$1"
}

work() {
  require_tools sha256sum gzip awk mkfifo tail head tee tr cut grep sed df id ls mkdir chmod chown
  db_find_tools
  say server "$(db_server_version)"
  if [ -n "$FILE" ]; then
    check_file
    read_dump
    say step server
    db_make_server
    load_dump
    count_rows
    compare_objects
    test_replace
    run_query
    stop_server
  fi
  test_data_directory
  say end good
  exit 0
}

run_ticker &
work &
# A line from the other side now and then: without, the pod ends.
heard=0
while IFS=' ' read -r _ <&3; do
  heard=$((heard + 1))
  echo "$heard" >"$SCRATCH/beat"
done
: >"$SCRATCH/done"
exit 0

# One restore test, in a pod of its own: whether the dump is the proven one, whole and complete, whether it can be loaded, whether
# the server then holds what the file and the database held, and whether the server can run on the data directory. It reports
# `bad` if the backup itself shows that it is bad, and `lost KEY` if anything else keeps the test from being made. All that it
# starts ends with the pod.

read_value && NONCE=$VALUE
read_value && VOLUME=$VALUE
read_value && SCRATCH=$VALUE
read_value && FILE=$VALUE
read_value && BYTES=$VALUE
read_value && SUM=$VALUE
read_value && DATABASE=$VALUE
read_value && QUERY=$VALUE
read_value && PHYSICAL=$VALUE
# From the proof: lines of `KIND NUMBER`, and lines of `NAME VALUE`.
read_value && OBJECTS=$VALUE
read_value && LIKE=$VALUE
# The file of the server's roles or accounts, if there is one: its path in the volume, and what the proof says of it.
read_value && GLOBALS=$VALUE
read_value && GLOBALS_BYTES=$VALUE
read_value && GLOBALS_SUM=$VALUE
# The folder that keepalive.sh watches, and `yes` if another test follows in this pod.
read_value && POD=$VALUE
read_value && KEPT=$VALUE

choose_unpacker "$FILE"
detach_stdin
export TMPDIR="$SCRATCH"

# bytes_read PID: prints how much of the file it has read.
bytes_read() { sed -n 's/^pos:[^0-9]*//p' "/proc/$1/fdinfo/0" 2>/dev/null; }

# heed: the client sends no command.
heed() { :; }

# tool_errors: prints the tools' error messages, without the statements and rows that some of them add.
tool_errors() {
  sed -n -e '/^ERROR/p' -e '/^FATAL/p' -e '/^[a-z_-]*:/p' "$SCRATCH/errors" 2>/dev/null | grep -v 'Broken pipe'
}

# bad WHY, lost KEY WHY: end the test. The last messages of the tools go to stderr. The keys are in docs/architecture.md.
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

# was_logged PATTERN: whether a message of the tools or the server matches.
was_logged() {
  { tool_errors; tail -n 40 "$SCRATCH/log"; } 2>/dev/null | grep -q -i -E "$1"
}

# lost_for_known_cause WHY STATUS: ends the test without a verdict if the cause of a failure is known and is not the backup: no
# space, no memory or a killed process, or something that the image lacks. Otherwise it returns.
lost_for_known_cause() {
  if was_logged "$NO_ROOM" || df -P -k "$SCRATCH" | { read -r _ && read -r _ _ _ free _ && [ "${free:-0}" -lt 1024 ]; }; then
    lost space "$1"
  fi
  if [ "$2" -gt 128 ] || was_logged "$NO_MEMORY"; then lost memory "$1"; fi
  if tool_errors | grep -q -i -E "$LACKING" || { ! server_is_running && was_logged "$LACKING"; }; then lost image "$1"; fi
}

# proof_property NAME: prints the server's property from the proof, or nothing.
proof_property() { printf '%s' "$LIKE" | sed -n "s/^$1 //p" | head -n 1; }

# as_server_user PROGRAM ARGUMENTS...: execs it, as $uid:$gid if this is root, because the servers refuse to run as root.
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

# set_owner_of FOLDER: sets $uid and $gid to its owner.
# shellcheck disable=SC2012 # numbers, not names
set_owner_of() {
  uid=$(ls -lnd -- "$1" | { read -r _ _ user _ && echo "$user"; })
  gid=$(ls -lnd -- "$1" | { read -r _ _ _ group _ && echo "$group"; })
}

# set_server_user NAME: sets $uid and $gid to this user, or to the owner of the dump if the image has no such user.
set_server_user() {
  if id -u "$1" >/dev/null 2>&1; then
    uid=$(id -u "$1")
    gid=$(id -g "$1")
  else
    set_owner_of "$FILE"
  fi
}

# make_folder NAME: makes a folder for the server, and puts its path in $made.
make_folder() {
  made=$SCRATCH/$1
  mkdir "$made" || lost space 'nothing can be written in the scratch volume'
  if [ "$(id -u)" = 0 ]; then chown "$uid:$gid" "$made"; fi
  chmod 700 "$made"
}

server='' server_started=''
server_is_running() { [ -n "$server_started" ] && [ "$(start_time "$server")" = "$server_started" ]; }

# start_server PROGRAM ARGUMENTS...: starts it and waits until it answers. Recovery may take long; the time limit is the client's.
start_server() {
  (as_server_user "$@") >>"$SCRATCH/log" 2>&1 3<&- &
  server=$!
  server_started=$(start_time "$server")
  while ! db_is_up >/dev/null 2>&1; do
    server_is_running || return 1
    sleep 0.2 >/dev/null 2>&1 || sleep 1
  done
}

# stop_server: shuts the server down cleanly.
stop_server() {
  if server_is_running; then kill "-$STOP" "$server" && wait "$server"; fi
  server_started=
}

# start_unpacking: unpacks the dump into the pipe, in the background. check_unpacking waits for it.
start_unpacking() {
  unpack <"$FILE" >"$SCRATCH/pipe" 2>"$SCRATCH/unpacking" &
  unpacking=$!
  echo "$unpacking" >"$SCRATCH/reading"
}

# check_unpacking: returns if the dump was read to its end, or until its reader closed the pipe. The dump is bad only if the
# tool says what is wrong with the file. A tool that was killed or could not read proves nothing about the file.
check_unpacking() {
  wait "$unpacking"
  status=$?
  if [ "$status" -eq 0 ] || grep -q -i -E 'broken pipe|write error' "$SCRATCH/unpacking"; then return; fi
  cat "$SCRATCH/unpacking" >&2
  if [ "$status" -le 128 ] && grep -q -i -E 'unexpected end|crc error|length error|format violated|not in gzip format|invalid (compressed|magic)|corrupted data|short read|premature|corruption detected|unsupported format|match checksum|decoding error|unknown header' "$SCRATCH/unpacking"; then
    bad 'the compressed dump does not test whole'
  fi
  lost other "the dump could not be unpacked: $unpacker ended with status $status"
}

# find_in_volume NAME...: puts in $found the first folder, at most three levels below the volume's root, that holds all of these and
# is of the version of the image's server; or else, the first of another version. After an upgrade both may be there.
find_in_volume() {
  unfit=
  for below in '' '/*' '/*/*' '/*/*/*'; do
    # shellcheck disable=SC2086 # a pattern; the volume's path has no spaces
    for found in $VOLUME$below; do
      [ -d "$found" ] || continue
      for name in "$@"; do
        [ -e "$found/$name" ] || continue 2
      done
      if db_fits "$found"; then return 0; fi
      [ -n "$unfit" ] || unfit=$found
    done
  done
  found=$unfit
  [ -n "$found" ]
}

# check_globals: as check_proven_file, for the file of the server's roles or accounts.
check_globals() {
  [ -n "$GLOBALS" ] || return 0
  GLOBALS=$VOLUME/$GLOBALS
  [ -e "$GLOBALS" ] || bad "the file of the $GLOBALS_OF is not there"
  [ -f "$GLOBALS" ] || bad "the file of the $GLOBALS_OF is no file"
  [ -r "$GLOBALS" ] || lost user "the user of the pod may not read the file of the $GLOBALS_OF"
  [ "$(file_size "$GLOBALS")" = "$GLOBALS_BYTES" ] || bad "the file of the $GLOBALS_OF is not that of the proof"
  sum=$(print_sha256 <"$GLOBALS") || lost other "the file of the $GLOBALS_OF could not be hashed"
  [ "$sum" = "$GLOBALS_SUM" ] || bad "the file of the $GLOBALS_OF is not that of the proof"
}

# read_dump: reads the text once: checks that it is whole and ends as a complete dump, and notes what it holds.
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
  # The counts end with a line `end`. Without it, a full disk may have cut them off.
  if ! [ -s "$SCRATCH/tail" ] || [ "$(tail -n 1 "$SCRATCH/facts")" != end ]; then
    lost space 'nothing can be written in the scratch volume'
  fi
  tail=$(tr -d '\000' <"$SCRATCH/tail")
  db_is_complete "$(strip_final_newlines "$tail")" || bad 'the dump does not end as a complete one does'
  db_check_header
}

# load_dump: pipes the text through db_filter into db_load. The dump is bad only if a server of its own version says that the text
# is wrong.
load_dump() {
  say step load
  rm -f "$SCRATCH/text"
  mkfifo "$SCRATCH/text" || lost space 'no named pipe can be made in the scratch volume'
  start_unpacking
  db_filter <"$SCRATCH/pipe" >"$SCRATCH/text" 2>"$SCRATCH/filtering" &
  filtering=$!
  # In a shell without children: in busybox ash, the open of a named pipe fails with EINTR when a child of that shell ends.
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
    # Not for a broken pipe: gawk does not ignore SIGPIPE, which is status 141; mawk may report it and then abort.
    if [ "$filtered" -gt 128 ] && [ "$filtered" -ne 141 ] && ! grep -q -i 'broken pipe' "$SCRATCH/filtering"; then
      lost memory "$why: awk ended with status $filtered"
    fi
    if db_is_same_version && tool_errors | grep -q -E "$DUMP_AT_FAULT"; then bad 'the dump cannot be loaded'; fi
    lost load "$why"
  fi
  [ "$status" -eq 0 ] || lost other 'the dump could not be read to its end'
  db_after_load
}

# count_rows: compares the rows of every table in the server and in the file.
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

# compare_objects: checks that the server holds at least as many objects of each kind as the database did. Skipped if the server
# is of another version, which may count differently.
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

# test_replace: tests a load into a database that already holds the objects.
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
  # A second query, whose answer shows that the first was run: MySQL's client does not report a quote that is left open.
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
  db_find_places "$found"
  db_start_on_data "$found" || judge_data_error 'the server does not start on the data directory'
  db_read_data 2>"$SCRATCH/errors" || judge_data_error 'the data directory cannot be read to its end'
  stop_server
  say physical yes
}

# judge_data_error WHY: the data directory is bad only if the server names what is wrong in it.
judge_data_error() {
  lost_for_known_cause "$1" 0
  if was_logged "$DATA_AT_FAULT" && ! was_logged "$NOT_THE_DATA"; then bad "$1"; fi
  lost data "$1"
}

work() {
  require_tools sha256sum "$unpacker" awk mkfifo tail head tee tr cut grep sed df id ls mkdir chmod chown
  db_find_tools
  say server "$(db_server_version)"
  if [ -n "$FILE" ]; then
    say step file
    check_proven_file 'the dump file'
    check_globals
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
  # The next test needs the room.
  if [ -n "$KEPT" ]; then rm -rf "$SCRATCH"; fi
  say end good
  exit 0
}

# The user of the server must reach its folder, as in the scratch volume itself.
[ -d "$SCRATCH" ] || { mkdir "$SCRATCH" && chmod 777 "$SCRATCH"; }
run_ticker &
work &
hear_client
[ -n "$KEPT" ] || : >"$POD/done"
exit 0

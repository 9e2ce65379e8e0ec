# The work of a load session: loads the dump file, or a file that was received, into its database. The dump lock keeps backups
# from replacing the file meanwhile, and from dumping a half-loaded database.

MORE_TOOLS="awk grep $unpacker"

# progress: prints how many bytes of the dump file were read.
# shellcheck disable=SC2034 # the first word is the field's name
progress() {
  read -r reader <"$own.reader" && read -r field far <"/proc/$reader/fdinfo/0" && echo "$far"
}

# report_tools: a load reports nothing of its tools.
report_tools() { :; }

# watch_work: a load waits for its parts itself.
watch_work() { :; }

# inspect_database: reports the roles or accounts of the server.
inspect_database() {
  db_report_roles &
  children=$!
  wait_for "$children"
}

# is_unchanged: a load session does not vouch for the file.
is_unchanged() { false; }

# copy_globals NOUN: copies the file with the SHA-256 $globals, of roles or accounts, beside what is loaded to $own.globals.
copy_globals() {
  recorded=$source.globals-$(printf %.16s "$globals").sql
  { [ -f "$recorded" ] && cat <"$recorded" >"$own.globals"; } || lost replaced "the file of $1 cannot be read"
  sum_of_globals=$(print_sha256 <"$own.globals")
  [ "$sum_of_globals" = "$globals" ] || lost replaced "the file of $1 was replaced meanwhile"
}

# hash_file: hashes the open file, in the background.
hash_file() {
  hash_stdin </proc/self/fd/4 >"$own.sum" 4<&- 5>&- &
  summing=$! children="$children $!"
}

# check_sum: waits for the hash, and gives up if the file is not the one that inspect.sh reported.
check_sum() {
  wait_for "$summing" || lost other "the dump file cannot be read"
  read -r now _ <"$own.sum"
  [ "$now" = "$sum" ] || lost replaced "the dump file was replaced meanwhile"
}

# load_through FILTER: pipes the output of db_prologue, the dump through FILTER, and the output of db_epilogue into db_client.
# The epilogue, which confirms that nothing is missing, is sent only if the dump was read to its end. If $sum_late is set, the file is
# hashed meanwhile, and the epilogue is sent only if it is the right one. Fails with the reason in $why.
load_through() {
  rm -f "$own.pipe-in" "$own.pipe-text" "$own.out"
  mkfifo "$own.pipe-in" "$own.pipe-text" || lost other "a named pipe cannot be made beside the dump file"
  # Opened for both reading and writing first, so that neither end waits for the other.
  exec 6<>"$own.pipe-in"
  exec 5>"$own.pipe-in"
  exec 7<"$own.pipe-in"
  exec 6>&-
  db_client <&7 >"$own.out" 4<&- 5>&- 7<&- &
  client=$! children=$!
  exec 7<&-
  db_prologue >&5 2>/dev/null
  [ ! -e "$own.roles" ] || cat "$own.roles" >&5 2>/dev/null
  # Reads the open file from its beginning, even if another was renamed to its name.
  {
    "$lead"
    unpack
  } </proc/self/fd/4 >"$own.pipe-text" 2>"$own.words" 5>&- &
  unpacking=$! children="$children $!"
  echo "$unpacking" >"$own.reader"
  "$1" <"$own.pipe-text" >&5 2>>"$own.words" 4<&- 5>&- &
  filtering=$! children="$children $!"
  [ -z "$sum_late" ] || hash_file
  wait_for "$unpacking"
  unpacked=$status
  wait_for "$filtering"
  filtered=$status
  rm -f "$own.reader"
  [ -z "$sum_late" ] || check_sum
  ended=
  if [ "$unpacked" = 0 ] && [ "$filtered" = 0 ]; then
    ended=yes
    [ -z "${unsure-}" ] || say state "$unsure"
    db_epilogue >&5 2>/dev/null
  else
    # Otherwise the client takes the end of a broken stream for the end of the dump.
    kill -TERM "$client" 2>/dev/null
  fi
  exec 5>&-
  wait_for "$client"
  client_status=$status
  children=
  why=
  if [ -z "$ended" ]; then
    # If the client ended on its own, it broke the stream, and the others only report the broken pipe.
    case $client_status in
    0 | 143)
      why="the dump could not be read to its end: $unpacker ended with status $unpacked, awk with $filtered"
      cat "$own.words" >&2
      ;;
    *) why="${CLIENT##*/} ended with status $client_status" ;;
    esac
  elif [ "$client_status" != 0 ]; then
    why="${CLIENT##*/} ended with status $client_status"
  elif [ "$(tail -n 1 "$own.out")" != "$NONCE" ]; then
    why="${CLIENT##*/} ended with status 0, but did not come to the end of the dump"
  fi
  [ -z "$why" ]
}

sum_late='' lead=:
# work: $sum is the SHA-256 of the file that inspect.sh reported.
work() {
  begin_work
  choose_unpacker "$source"
  { [ -f "$source" ] && [ -r "$source" ]; } || lost other "the dump file cannot be read"
  exec 4<"$source"
  [ -n "$sum_late" ] || {
    hash_file
    check_sum
  }
  db_load
  say loaded yes
}

# One look into a repository outside the cluster, in a pod of its own: which copies are there, a small file of one, or copies that
# are written to a folder and compared with their manifest. It reports `copy-bad` if a copy is not what its manifest says, and
# `lost KEY` if anything else keeps it from being read. export-restic.sh, export-rclone.sh or export-command.sh has the tool.

read_value && NONCE=$VALUE
# The folder that the copies are written to.
read_value && TARGET=$VALUE
read_value && SCRATCH=$VALUE
# The folder with the files of the Secret, which are not shown.
read_value && SECRET=$VALUE
read_value && REMOTE=$VALUE
read_value && CHECK=$VALUE
# list, read, fetch or volume.
read_value && MODE=$VALUE
# Of each copy: its name and id in the repository, bytes, SHA-256, and what it is to be called in the folder. Of a volume it is the
# number of its files instead of a SHA-256.
read_files 5

detach_stdin
POD=$SCRATCH
export TMPDIR="$SCRATCH" HOME="$SCRATCH" TZ=UTC0
rm -f "$SCRATCH/tool" "$SCRATCH/reading"

# The largest manifest, in bytes.
LARGEST=1000000

# heed: the client sends no command.
heed() { :; }

# read_file NUMBER: sets what the values say of it.
read_file() {
  {
    IFS= read -r NAME && IFS= read -r ID && IFS= read -r BYTES && IFS= read -r SUM && IFS= read -r PLACE
  } <"$SCRATCH/file.$1" || lost space 'nothing can be written in the scratch volume'
  # A command of the user gets them.
  # shellcheck disable=SC2034
  sent_bytes=$BYTES sent_sum=$SUM
}

# no_room WHAT: gives up because the folder has no room.
no_room() {
  if [ "$TARGET" = "$SCRATCH" ]; then lost space "$1 into the scratch volume"; fi
  lost target "$1 into the volume"
}

# receive FILE MOST: writes the copy to this file, and sets $sum. Fails with the reason in $why if the copy cannot be read, or has more
# than MOST bytes. $says is what the manifest has to do with MOST.
receive() {
  (: >"$1") 2>"$SCRATCH/errors" || {
    if said 'no space left|quota'; then no_room 'the copy does not fit'; fi
    lost user 'the copy cannot be written'
  }
  make_pipes back hashed
  : >"$SCRATCH/errors"
  { tool_receive "$NAME" "$ID"; } >"$SCRATCH/back" 2>"$SCRATCH/errors" 3<&- &
  receiving=$!
  tool_is "$receiving"
  start_hashing "$SCRATCH/hashed"
  (head -c "$(($2 + 1))" <"$SCRATCH/back" | tee "$SCRATCH/hashed" >"$1" 2>"$SCRATCH/writing" 3<&-)
  written=$?
  wait "$receiving"
  received=$?
  wait "$hashing" || lost other "what came back could not be hashed (status $?)"
  if [ "$written" -ne 0 ]; then
    cat "$SCRATCH/writing" >"$SCRATCH/errors"
    if said 'no space left|quota'; then no_room 'the copy does not fit'; fi
    lost user 'the copy cannot be written'
  fi
  if [ "$(file_size "$1")" -gt "$2" ]; then
    why="the copy $NAME has more than $2 bytes, $says"
    return 1
  fi
  if [ "$received" -ne 0 ]; then
    if is_about_way "$received"; then failed 'the copy could not be read' "$received"; fi
    why="the copy $NAME cannot be read (status $received)"
    return 1
  fi
  read -r sum _ <"$SCRATCH/sum" || lost space 'nothing can be written in the scratch volume'
}

list_copies() {
  say step list
  : >"$SCRATCH/errors"
  tool_list >"$SCRATCH/list" 2>"$SCRATCH/errors" || failed 'the copies cannot be listed' "$?"
  while IFS= read -r line; do say copy "$line"; done <"$SCRATCH/list"
}

# read_copies: reports the text of each file, line by line. One that cannot be read is reported as such: it is for a list, too.
read_copies() {
  say step read
  # The cache is as new as the pod, and saves that restic reads its index anew for each of them.
  # shellcheck disable=SC2034
  cache=
  number=0
  while [ "$number" -lt "$FILES" ]; do
    read_file "$number"
    says='which no manifest has'
    if ! receive "$SCRATCH/text" "$LARGEST"; then
      say unread "$number $why: $(tool_errors | tail -n 1)"
    else
      while IFS= read -r line || [ -n "$line" ]; do say text "$line"; done <"$SCRATCH/text"
      say read "$number $(file_size "$SCRATCH/text") $sum"
    fi
    number=$((number + 1))
  done
}

fetch_copies() {
  number=0
  while [ "$number" -lt "$FILES" ]; do
    say step fetch
    read_file "$number"
    umask 022
    case $PLACE in */*) mkdir -p "$TARGET/${PLACE%/*}" || lost user 'nothing can be written in the volume' ;; esac
    says='which its manifest says'
    receive "$TARGET/$PLACE" "$BYTES" || copy_bad "$why"
    umask 077
    size=$(file_size "$TARGET/$PLACE")
    [ "$size" = "$BYTES" ] || copy_bad "the copy $NAME has $size bytes, its manifest says $BYTES"
    [ "$sum" = "$SUM" ] || copy_bad "the SHA-256 of the copy $NAME is not that of its manifest"
    say fetched "$number"
    number=$((number + 1))
  done
  (cd "$TARGET" && flush) || lost other 'the files could not be written to the disk'
}

# count_files: prints how many files the folder has.
# shellcheck disable=SC2016 # the inner shell has the variables
count_files() {
  (cd "$TARGET" && find . -path ./lost+found -prune -o -type f -exec sh -c 'for file; do echo; done' sh {} +) | wc -l
}

fetch_volume() {
  say step fetch
  read_file 0
  : >"$SCRATCH/errors"
  { tool_fetch_volume "$NAME" "$ID"; } >/dev/null 2>"$SCRATCH/errors" 3<&- &
  receiving=$!
  tool_is "$receiving"
  wait "$receiving"
  received=$?
  if [ "$received" -ne 0 ]; then
    if said 'no space left|quota'; then no_room 'the files do not fit'; fi
    if said 'permission denied|operation not permitted'; then lost user 'the files cannot be written'; fi
    if said 'read-only file system|input/output error'; then lost other 'the files cannot be written'; fi
    if is_about_way "$received"; then failed 'the copy could not be read' "$received"; fi
    copy_bad "the copy $NAME cannot be read (status $received)"
  fi
  there=$(count_files)
  [ "$there" -eq "$SUM" ] || copy_bad "the copy has $there files, its manifest says $SUM"
  (cd "$TARGET" && flush) || lost other 'the files could not be written to the disk'
  say fetched 0
}

work() {
  # shellcheck disable=SC2086 # a list of words
  require_tools sha256sum awk sed grep head tail tee mkfifo ls cat rm mkdir $TOOLS
  if [ "$MODE" = volume ]; then require_tools find wc; fi
  open_repository tool_look
  case $MODE in
  list) list_copies ;;
  read) read_copies ;;
  volume) fetch_volume ;;
  *) fetch_copies ;;
  esac
  say end good
  exit 0
}

run_session
exit 0

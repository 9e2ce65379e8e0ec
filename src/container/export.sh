# One export, in a pod of its own: the proven dumps, or all files, of a volume go to a repository outside the cluster, and come
# back for a comparison. It reports `bad` if the backup is not what its proof says, `copy-bad` if what comes back is not what was
# sent, and `lost KEY` if anything else keeps the export from being done. export-restic.sh, export-rclone.sh or export-command.sh
# has the tool. All that it starts ends with the pod.

read_value && NONCE=$VALUE
read_value && VOLUME=$VALUE
read_value && SCRATCH=$VALUE
# The folder with the files of the Secret, which are not shown.
read_value && SECRET=$VALUE
# dump or volume.
read_value && WHAT=$VALUE
# The namespace, when the snapshot was made, and tags, one a line.
read_value && HOST=$VALUE
read_value && MADE=$VALUE
read_value && TAGS=$VALUE
read_value && REMOTE=$VALUE
read_value && COMMAND=$VALUE
read_value && CHECK=$VALUE
# The names in the repository of the manifest and of a whole volume.
read_value && MANIFEST=$VALUE
read_value && WHOLE=$VALUE
# Of each dump file: path in the volume, bytes, SHA-256, compression, and its name in the repository, as plain text and as it is.
read_files 6

detach_stdin
POD=$SCRATCH
export TMPDIR="$SCRATCH" HOME="$SCRATCH" TZ=UTC0

# heed COMMAND TEXT: takes the manifest.
heed() {
  [ "$1" = manifest ] || return 0
  printf '%b' "$2" >"$SCRATCH/manifest.part" && mv "$SCRATCH/manifest.part" "$SCRATCH/manifest.json"
}

# read_file NUMBER: sets what the values say of it.
read_file() {
  {
    IFS= read -r FILE && IFS= read -r BYTES && IFS= read -r SUM && IFS= read -r FORM && IFS= read -r PLAIN_NAME &&
      IFS= read -r STORED_NAME
  } <"$SCRATCH/file.$1" || lost space 'nothing can be written in the scratch volume'
}

# compare_copy NAME ID SUM: reads a file back, and compares its hash.
compare_copy() {
  make_pipes back
  : >"$SCRATCH/errors"
  { tool_receive "$1" "$2"; } >"$SCRATCH/back" 2>"$SCRATCH/errors" 3<&- &
  receiving=$!
  tool_is "$receiving"
  start_hashing "$SCRATCH/back"
  wait "$receiving"
  received=$?
  wait "$hashing" || lost other "what came back could not be hashed (status $?)"
  if [ "$received" -ne 0 ]; then
    if is_about_way "$received"; then failed 'the copy could not be read back' "$received"; fi
    copy_bad "the copy cannot be read back (status $received)"
  fi
  read -r sum _ <"$SCRATCH/sum" || lost space 'nothing can be written in the scratch volume'
  [ "$sum" = "$3" ] || copy_bad 'the SHA-256 of what came back is not that of what was sent'
}

export_file() {
  say step send
  : >"$SCRATCH/errors"
  tool_send "$FILE" "$FORM" "$PLAIN_NAME" "$STORED_NAME"
  say step compare
  compare_copy "$sent_name" "$sent_id" "$sent_sum"
  say sent "$number $sent_form $sent_bytes $sent_sum ${sent_id:--}"
}

# list_volume: prints SHA-256 and name of each file of the volume. lost+found belongs to the file system, and to root.
# shellcheck disable=SC2016 # the inner shell has the variables
list_volume() {
  (cd "$VOLUME" && find . -path ./lost+found -prune -o -type f -exec sh -c '
    for file; do
      sum=$(sha256sum <"$file") || exit
      printf "%s %s\n" "${sum%% *}" "${file#./}"
    done' sh {} +)
}

export_volume() {
  say step send
  : >"$SCRATCH/errors"
  list_volume >"$SCRATCH/here" 2>"$SCRATCH/errors" || lost user 'a file of the volume cannot be read'
  tool_send_volume
  say step compare
  : >"$SCRATCH/errors"
  (tool_list_volume) >"$SCRATCH/there" 2>"$SCRATCH/errors"
  # shellcheck disable=SC2319 # it is that of the subshell
  status=$?
  if [ "$status" -ne 0 ]; then
    if is_about_way "$status"; then failed 'the copy could not be read back' "$status"; fi
    copy_bad "the copy cannot be read back (status $status)"
  fi
  for list in here there; do
    sort "$SCRATCH/$list" >"$SCRATCH/$list.sorted" || lost space 'nothing can be written in the scratch volume'
  done
  cmp -s "$SCRATCH/here.sorted" "$SCRATCH/there.sorted" || copy_bad 'the files that came back are not those of the volume'
  say volume "$(grep -c '^[0-9a-f]\{64\} ' "$SCRATCH/here") $sent_bytes ${sent_id:--}"
}

work() {
  # shellcheck disable=SC2086 # a list of words
  require_tools sha256sum gzip awk sed grep tail tee mkfifo ls cat rm mv $TOOLS
  if [ "$WHAT" = volume ]; then require_tools find sort cmp tar mkdir; fi
  open_repository tool_open
  say step check
  number=0
  while [ "$number" -lt "$FILES" ]; do
    read_file "$number"
    check_proven_file 'a dump file'
    if [ "$WHAT" = dump ]; then export_file; fi
    number=$((number + 1))
  done
  if [ "$WHAT" = volume ]; then export_volume; fi
  # The client writes the manifest from what was reported.
  say step manifest
  say described no
  until [ -e "$SCRATCH/manifest.json" ]; do
    is_attended || exit 0
    sleep 0.2 >/dev/null 2>&1 || sleep 1
  done
  tool_send "$SCRATCH/manifest.json" plain "$MANIFEST" "$MANIFEST"
  compare_copy "$sent_name" "$sent_id" "$sent_sum"
  say manifest "$sent_bytes $sent_sum ${sent_id:--}"
  say end good
  exit 0
}

run_session
: >"$SCRATCH/done"
exit 0

# The tool rclone for export.sh and import.sh. Files go in as they are, each export of a snapshot into a folder of its own. There is no other
# name during the upload: a folder without a manifest is no backup, and a rename would need the right to delete.

TOOLS=rclone

tool_prepare() {
  # A configuration file comes with the Secret, if there is one.
  if [ -z "${RCLONE_CONFIG-}" ]; then
    export RCLONE_CONFIG="$SCRATCH/rclone.conf"
    if [ -f "$SECRET/rclone.conf" ]; then cat "$SECRET/rclone.conf" >"$RCLONE_CONFIG"; else : >"$RCLONE_CONFIG"; fi
  fi
}

tool_version() { rclone version 2>/dev/null | head -n 1; }

tool_address() { printf '%s\n' "$REMOTE"; }

# place NAME: prints the full address of a name.
place() {
  case $REMOTE in
  *: | */) printf '%s%s' "$REMOTE" "$1" ;;
  *) printf '%s/%s' "$REMOTE" "$1" ;;
  esac
}

# tool_open: lists the folder. One that is not there yet is made by the first file.
tool_open() {
  rclone --quiet lsf --max-depth 1 "$REMOTE" >/dev/null 2>"$SCRATCH/errors"
  status=$?
  [ "$status" -ne 3 ] || return 0
  return "$status"
}

tool_look() { tool_open; }

# tool_kind STATUS: the kind of a failure that only rclone knows, if it is one.
tool_kind() {
  if said "didn't find section in config file|didn't find backend|unknown backend"; then
    echo repository
  fi
}

# tool_send FILE FORM PLAIN-NAME STORED-NAME: sends a file, and sets $sent_name, $sent_form, $sent_bytes, $sent_sum and $sent_id.
# --ignore-times: a file that is there already is not believed to be the same.
tool_send() {
  sent_name=$4 sent_form=stored sent_id=
  (hash_stdin <"$1" >"$SCRATCH/sum") || lost other "the file could not be hashed (status $?)"
  { exec rclone --quiet copyto --ignore-times "$1" "$(place "$4")"; } >/dev/null 2>"$SCRATCH/errors" 3<&- &
  sending=$!
  tool_is "$sending"
  wait "$sending" || failed 'rclone did not send the file' "$?"
  read -r sent_sum _ <"$SCRATCH/sum" || lost space 'nothing can be written in the scratch volume'
  sent_bytes=$(file_size "$1")
}

# tool_receive NAME ID: prints a file of the remote. It execs rclone.
tool_receive() { exec rclone --quiet cat "$(place "$1")"; }

# tool_list: prints `TIME;NAME` of each manifest. There is no folder before the first export.
tool_list() {
  rclone --quiet lsf --recursive --files-only --include '/*/*/*/manifest.json' --format tp --separator ';' "$REMOTE"
  status=$?
  [ "$status" -ne 3 ] || return 0
  return "$status"
}

# tool_fetch_volume NAME ID: writes all files of a copy to $TARGET. It execs rclone.
tool_fetch_volume() { exec rclone --quiet copy --ignore-times "$(place "$1")" "$TARGET"; }

tool_send_volume() {
  sent_id=
  { exec rclone --quiet copy --ignore-times --exclude '/lost+found/**' "$VOLUME" "$(place "$WHOLE")"; } >/dev/null 2>"$SCRATCH/errors" 3<&- &
  sending=$!
  tool_is "$sending"
  wait "$sending" || failed 'rclone did not send the volume' "$?"
  sent_bytes=$(cd "$VOLUME" && find . -path ./lost+found -prune -o -type f -exec ls -lnd {} + | awk '{ bytes += $5 } END { printf "%.0f", bytes }')
}

# tool_list_volume: prints SHA-256 and name of each file of the copy, all of which are downloaded for it.
tool_list_volume() {
  rclone --quiet hashsum SHA256 --download "$(place "$WHOLE")" >"$SCRATCH/hashsum" || return
  sed 's/^\([0-9a-f]*\)  /\1 /' "$SCRATCH/hashsum"
}

# The user's own commands for export.sh and import.sh: $COMMAND gets a file on stdin, $CHECK prints its copy. They know the name by EXPORT_NAME.

TOOLS=

tool_prepare() { :; }
tool_version() { echo 'BAK_EXPORT_COMMAND'; }
tool_address() { echo 'BAK_EXPORT_COMMAND'; }
tool_open() { :; }
tool_look() { :; }
tool_kind() { :; }

# run_command COMMAND NAME: execs it.
run_command() {
  export EXPORT_NAME="$2" EXPORT_BYTES="$sent_bytes" EXPORT_SHA256="$sent_sum"
  exec sh -c "$1"
}

# tool_send FILE FORM PLAIN-NAME STORED-NAME: gives a file to the command, and sets $sent_name, $sent_form, $sent_bytes, $sent_sum
# and $sent_id.
tool_send() {
  sent_name=$4 sent_form=stored sent_id=
  (hash_stdin <"$1" >"$SCRATCH/sum") || lost other "the file could not be hashed (status $?)"
  read -r sent_sum _ <"$SCRATCH/sum" || lost space 'nothing can be written in the scratch volume'
  sent_bytes=$(file_size "$1")
  { run_command "$COMMAND" "$4"; } <"$1" >"$SCRATCH/errors" 2>&1 3<&- &
  sending=$!
  tool_is "$sending"
  wait "$sending" || failed 'the command failed' "$?"
}

# tool_receive NAME ID: prints the copy. It execs the command.
tool_receive() { run_command "$CHECK" "$1"; }

tool_send_volume() { lost other 'a whole volume needs restic or rclone'; }
tool_list_volume() { cat /dev/null; }

tool_list() {
  echo 'a command cannot list copies' >&2
  return 1
}
tool_fetch_volume() { tool_list; }

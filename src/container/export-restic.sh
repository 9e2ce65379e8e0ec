# The tool restic for export.sh and import.sh. Dumps go in as plain text, of which restic finds the parts that it has, and which it compresses.
# --no-cache: what is read back must come from the repository, and restic takes directories from its cache.

TOOLS=restic
cache=--no-cache unlocked=

tool_prepare() {
  # Since 0.16: a repository that another restic cleans up is waited for.
  retry=
  if restic help backup 2>/dev/null | grep -q -e --retry-lock; then retry=--retry-lock=15m; fi
}

tool_version() { restic version 2>/dev/null | head -n 1; }

tool_address() {
  if [ -n "${RESTIC_REPOSITORY-}" ]; then
    printf '%s\n' "$RESTIC_REPOSITORY"
  else
    head -n 1 -- "${RESTIC_REPOSITORY_FILE-}" 2>/dev/null
  fi
}

# tool_open: removes the locks of those that have ended. A repository that refuses that can still be used.
tool_open() {
  restic --no-cache unlock >/dev/null 2>"$SCRATCH/errors" && return
  restic --no-cache --no-lock cat config >/dev/null 2>"$SCRATCH/errors"
}

# tool_look: opens a repository that is only read. One that takes no lock, because its storage takes no files, is read without.
tool_look() {
  # shellcheck disable=SC2086 # a flag, or none
  restic --no-cache $retry cat config >/dev/null 2>"$SCRATCH/errors" && return
  status=$?
  if said "already locked|$IS_AWAY" || ! restic --no-cache --no-lock cat config >/dev/null 2>&1; then return "$status"; fi
  unlocked=--no-lock
}

# tool_kind STATUS: the kind of a failure that only restic knows, if it is one. The statuses are those of restic 0.17 and later.
tool_kind() {
  if [ "$1" = 11 ] || said 'already locked'; then
    echo locked
  elif [ "$1" = 12 ] || said 'wrong password|no key found|no password|empty password'; then
    echo password
  elif [ "$1" = 10 ] || { said 'is there a repository|repository does not exist|please specify repository' && ! said "$IS_AWAY|$NO_KEY"; }; then
    echo repository
  fi
}

# backup ARGUMENTS...: execs restic backup with the tags.
backup() {
  set -f
  IFS=$nl
  for tag in $TAGS; do set -- --tag "$tag" "$@"; done
  unset IFS
  # shellcheck disable=SC2086 # a flag, or none
  exec restic --no-cache backup --json --quiet $retry --host "$HOST" --time "$MADE" "$@"
}

# print_member NAME: prints the value of a member of the summary.
print_member() { sed -n "s/.*\"message_type\":\"summary\".*\"$1\":\"\{0,1\}\([0-9a-f]*\).*/\1/p" "$SCRATCH/summary" | tail -n 1; }

# unpack_as FORM: unpacks stdin. It execs the tool.
unpack_as() {
  case $1 in
  gzip) exec gzip -dc ;;
  zstd) exec zstd -q -dc ;;
  *) exec cat ;;
  esac
}

# tool_send FILE FORM PLAIN-NAME STORED-NAME: sends a file, unpacked if the image can do that, and sets $sent_name, $sent_form,
# $sent_bytes, $sent_sum and $sent_id. restic does not see that what writes to its stdin has failed, so each part is waited for.
tool_send() {
  sent_name=$3 sent_form=plain form=$2
  if [ "$form" = zstd ] && ! command -v zstd >/dev/null; then
    sent_name=$4 sent_form=stored form=stored
  fi
  make_pipes plain shared hashed
  { unpack_as "$form" <"$1"; } >"$SCRATCH/plain" 2>"$SCRATCH/unpacking" 3<&- &
  unpacking=$!
  tee "$SCRATCH/hashed" <"$SCRATCH/plain" >"$SCRATCH/shared" 2>/dev/null 3<&- &
  sharing=$!
  start_hashing "$SCRATCH/hashed"
  { backup --stdin --stdin-filename "$sent_name"; } <"$SCRATCH/shared" >"$SCRATCH/summary" 2>"$SCRATCH/errors" 3<&- &
  sending=$!
  tool_is "$sending"
  wait "$sending"
  status=$?
  wait "$unpacking"
  unpacked=$?
  wait "$sharing"
  shared=$?
  wait "$hashing"
  hashed=$?
  [ "$status" -eq 0 ] || failed 'restic did not take the dump' "$status"
  if [ "$unpacked" -ne 0 ]; then
    cat "$SCRATCH/unpacking" >"$SCRATCH/errors"
    lost other "the dump could not be read to its end (status $unpacked)"
  fi
  [ "$shared" -eq 0 ] || lost other "the dump could not be read to its end: tee ended with status $shared"
  [ "$hashed" -eq 0 ] || lost other "the dump could not be hashed (status $hashed)"
  read -r sent_sum _ <"$SCRATCH/sum" || lost space 'nothing can be written in the scratch volume'
  sent_bytes=$(print_member total_bytes_processed)
  sent_id=$(print_member snapshot_id)
  if [ -z "$sent_bytes" ] || [ -z "$sent_id" ]; then lost other 'restic did not name the snapshot that it made'; fi
}

# tool_receive NAME ID: prints a file of the repository. It execs restic.
# shellcheck disable=SC2086 # flags, or none
tool_receive() { exec restic $cache $unlocked $retry --quiet dump "$2" "$1"; }

# tool_list: prints what restic says of each snapshot that holds a manifest, one a line. Each begins with its time, and the text of a
# JSON string has no bare quotes.
tool_list() {
  # shellcheck disable=SC2086 # flags, or none
  restic --no-cache $unlocked $retry --quiet snapshots --json >"$SCRATCH/snapshots" || return
  sed -e 's/^\[//' -e 's/\]$//' -e 's/},{"time":/}\
{"time":/g' "$SCRATCH/snapshots" | grep '/manifest\.json"' || :
}

# tool_fetch_volume NAME ID: writes all files of a copy to $TARGET. It execs restic.
# shellcheck disable=SC2086 # flags, or none
tool_fetch_volume() { exec restic --no-cache $unlocked $retry --quiet restore "$2" --target "$TARGET" --verify; }

tool_send_volume() {
  { cd "$VOLUME" && backup --exclude "$VOLUME/lost+found" .; } >"$SCRATCH/summary" 2>"$SCRATCH/errors" 3<&- &
  sending=$!
  tool_is "$sending"
  wait "$sending" || failed 'restic did not take the volume' "$?"
  sent_bytes=$(print_member total_bytes_processed)
  sent_id=$(print_member snapshot_id)
  if [ -z "$sent_bytes" ] || [ -z "$sent_id" ]; then lost other 'restic did not name the snapshot that it made'; fi
}

# tool_list_volume: prints SHA-256 and name of each file of the copy.
# shellcheck disable=SC2016 # the inner shell has the variables
tool_list_volume() {
  make_pipes back
  mkdir -p "$SCRATCH/extracted" || return
  { exec restic --no-cache --quiet dump -a tar "$sent_id" /; } >"$SCRATCH/back" 3<&- &
  receiving=$!
  tool_is "$receiving"
  (tar -x -f - -C "$SCRATCH/extracted" --to-command='sum=$(sha256sum) && printf "%s %s\n" "${sum%% *}" "${TAR_FILENAME#./}"' <"$SCRATCH/back")
  listed=$?
  wait "$receiving" || return
  return "$listed"
}

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
read_value && FILES=$VALUE
number=0
while [ "$number" -lt "$FILES" ]; do
  : >"$SCRATCH/file.$number"
  for _ in 1 2 3 4 5 6; do
    read_value && printf '%s\n' "$VALUE" >>"$SCRATCH/file.$number"
  done
  number=$((number + 1))
done

detach_stdin
POD=$SCRATCH
export TMPDIR="$SCRATCH" HOME="$SCRATCH" TZ=UTC0

# bytes_read PID: prints how much it has read, of a file or a pipe.
bytes_read() { sed -n 's/^rchar: //p' "/proc/$1/io" 2>/dev/null; }

# heed COMMAND TEXT: takes the manifest.
heed() {
  [ "$1" = manifest ] || return 0
  printf '%b' "$2" >"$SCRATCH/manifest.part" && mv "$SCRATCH/manifest.part" "$SCRATCH/manifest.json"
}

# hide_secrets: copies stdin, with **** for each line of the Secret's files and for what follows `=` or `:` in such a line. Of the
# address of a repository it is only the password. The longest are replaced first, because one may be part of another.
hide_secrets() {
  set --
  for file in "$SECRET"/*; do
    if [ -f "$file" ]; then set -- "$@" "$file"; fi
  done
  awk '
    function note(value,   at) {
      if (length(value) < 3 || value ~ /^(true|false)$/) return
      for (at = ++count; at > 1 && length(secret[at - 1]) < length(value); at--) secret[at] = secret[at - 1]
      secret[at] = value
    }
    !messages && FILENAME ~ /REPOSITORY$/ {
      if (match($0, /:\/\/[^\/]*@/)) {
        value = substr($0, RSTART + 3, RLENGTH - 4)
        note(value)
        if (sub(/^[^:]*:/, "", value)) note(value)
      }
      next
    }
    !messages {
      sub(/\r$/, "")
      note($0)
      if (match($0, /[=:][ \t]*/)) note(substr($0, RSTART + RLENGTH))
      next
    }
    {
      for (number = 1; number <= count; number++) {
        rest = $0
        $0 = ""
        while (at = index(rest, secret[number])) {
          $0 = $0 substr(rest, 1, at - 1) "****"
          rest = substr(rest, at + length(secret[number]))
        }
        $0 = $0 rest
      }
      print
    }' "$@" messages=yes -
}

# strip_address: copies an address without user, password and query.
strip_address() { sed -e 's,://[^/]*@,://,' -e 's/[?#].*//'; }

# tool_errors: prints the last messages of the tool, without secrets, once.
tool_errors() {
  tail -n 40 "$SCRATCH/errors" 2>/dev/null | hide_secrets | tail -n 5
  : >"$SCRATCH/errors"
}

# bad WHY, copy_bad WHY, lost KEY WHY: end the export. The last messages of the tool go to stderr. The keys are in
# docs/architecture.md.
bad() {
  say bad "$1"
  exit 0
}
copy_bad() {
  tool_errors >&2
  say copy-bad "$1"
  exit 0
}
lost() {
  tool_errors >&2
  say lost "$1 $2"
  exit 0
}

said() { grep -q -i -E "$1" "$SCRATCH/errors"; }

# What storage and network say, whatever the tool is.
NO_KEY='unauthorized|forbidden|access ?denied|invalidaccesskeyid|signaturedoesnotmatch|expiredtoken|permission denied|authentication fail|unable to authenticate|status code 40[13]|error 40[13]'
IS_FULL='no space left|insufficient storage|insufficientstorage|quota|too big for remaining disk|disk full|status code 507|error 507'
IS_AWAY='connection refused|connection reset|no such host|server misbehaving|i/o timeout|timed? ?out|network is unreachable|no route to host|tls: |x509|certificate|status code 5[0-9][0-9]|error 5[0-9][0-9]|service ?unavailable|bad gateway|deadline exceeded|too many requests|slowdown|handshake failed'

# is_about_way STATUS: whether a copy could not be read because of the way to it. One that ends too early is not such a case.
is_about_way() { [ "$1" -gt 128 ] || said "$IS_AWAY|$NO_KEY"; }

# failed WHY STATUS: ends the export for what the tool's messages name.
failed() {
  kind=$(tool_kind "$2")
  if [ -z "$kind" ]; then
    if [ "$2" -gt 128 ] || said 'out of memory|cannot allocate memory'; then
      kind=memory
    elif said "$IS_FULL"; then
      kind=full
      # The scratch volume may be what is full.
      : >"$SCRATCH/room" && echo room >"$SCRATCH/room" && [ -s "$SCRATCH/room" ] || kind=space
    elif said "$NO_KEY"; then
      kind=key
    elif said "$IS_AWAY|broken pipe|unexpected eof"; then
      kind=away
    else
      kind=other
    fi
  fi
  lost "$kind" "$1 (status $2)"
}

# tool_is PID: notes the process that a session which ends has to end, so that it leaves no lock in the repository.
tool_is() { echo "$1 $(start_time "$1")" >"$SCRATCH/tool"; }

# stop_tool: ends that process, and waits for it. Both tools remove their locks and parts on SIGINT.
stop_tool() {
  { read -r tool started <"$SCRATCH/tool"; } 2>/dev/null || return 0
  signal_process INT "$tool" "$started"
  tries=0
  while [ "$tries" -lt 75 ] && [ -n "$started" ] && [ "$(start_time "$tool")" = "$started" ]; do
    tries=$((tries + 1))
    sleep 0.2 >/dev/null 2>&1 || sleep 1
  done
  signal_process TERM "$tool" "$started"
}

make_pipes() {
  for pipe in "$@"; do
    rm -f "$SCRATCH/$pipe"
    mkfifo "$SCRATCH/$pipe" || lost space 'no named pipe can be made in the scratch volume'
  done
}

# start_hashing PIPE: hashes what comes through it, in the background.
start_hashing() {
  hash_stdin <"$1" >"$SCRATCH/sum" 2>/dev/null &
  hashing=$!
  echo "$hashing" >"$SCRATCH/reading"
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
  tool_prepare
  say tool "$(tool_version | hide_secrets)"
  say repository "$(tool_address | strip_address)"
  say step open
  tool_open || failed 'the repository cannot be opened' "$?"
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

run_ticker &
work &
hear_client
# The client may have lost patience with a tool that tries again and again: its messages say why.
tool_errors >&2
stop_tool
: >"$SCRATCH/done"
exit 0

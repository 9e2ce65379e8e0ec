# What export.sh and import.sh do with the tool of a repository: its messages without secrets, what they mean, and its end. The file
# behind it has $SCRATCH, $SECRET, heed and work, one of export-restic.sh, export-rclone.sh and export-command.sh the tool.

# read_files VALUES: takes the number of files, and so many values for each of them, one a line of $SCRATCH/file.NUMBER.
read_files() {
  read_value && FILES=$VALUE
  number=0
  while [ "$number" -lt "$FILES" ]; do
    : >"$SCRATCH/file.$number"
    field=0
    while [ "$field" -lt "$1" ]; do
      read_value && printf '%s\n' "$VALUE" >>"$SCRATCH/file.$number"
      field=$((field + 1))
    done
    number=$((number + 1))
  done
}

# open_repository OPENER: opens it with tool_open or tool_look, and reports which repository and which tool it is.
open_repository() {
  tool_prepare
  say tool "$(tool_version | hide_secrets)"
  say repository "$(tool_address | strip_address)"
  say step open
  "$1" || failed 'the repository cannot be opened' "$?"
}

# run_session: does work as long as the client is there, and then ends the tool.
run_session() {
  run_ticker &
  work &
  hear_client
  # The time of a tool that tries again and again may be over: its messages say why.
  tool_errors >&2
  stop_tool
}

# bytes_read PID: prints how much it has read, of a file or a pipe.
bytes_read() { sed -n 's/^rchar: //p' "/proc/$1/io" 2>/dev/null; }

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
NO_KEY='unauthorized|forbidden|access ?denied|invalidaccesskeyid|signaturedoesnotmatch|expiredtoken|token.*expired|permission denied|authentication fail|unable to authenticate|status code 40[13]|error 40[13]'
IS_FULL='no space left|insufficient storage|insufficientstorage|quota|too big for remaining disk|disk full|status code 507|error 507'
IS_AWAY='connection refused|connection reset|no such host|server misbehaving|i/o timeout|timed? ?out|network is unreachable|no route to host|tls: |x509|certificate|status code 5[0-9][0-9]|error 5[0-9][0-9]|service ?unavailable|bad gateway|deadline exceeded|too many requests|slowdown|handshake failed'

# is_about_way STATUS: whether a copy could not be read because of the way to it, of a lock or of the pod, which says nothing about the
# copy. One that ends too early is not such a case.
is_about_way() {
  [ "$1" -gt 128 ] || said "$IS_AWAY|$NO_KEY|$IS_FULL|out of memory|cannot allocate memory" || [ -n "$(tool_kind "$1")" ]
}

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

# What the sessions in a scratch pod share, those of verify.sh and export.sh: heartbeats both ways, and checks of the image and of
# a proven file. The script behind it has $VOLUME, $SCRATCH and $POD, bad, lost, bytes_read and heed.

# detach_stdin: keeps the client's lines for hear_client.
detach_stdin() {
  exec 3<&0 </dev/null
  main=$$
  main_started=$(start_time "$main")
}

# is_attended: whether the session still goes on. What it started ends with the pod, but a shell may outlive it for a moment.
is_attended() { [ "$(start_time "$main")" = "$main_started" ]; }

# run_ticker: reports `beat` every second, with how many bytes the process of $SCRATCH/reading has read so far.
run_ticker() {
  while sleep 1 >/dev/null 2>&1 && is_attended; do
    at=
    if { read -r pid <"$SCRATCH/reading"; } 2>/dev/null; then at=$(bytes_read "$pid"); fi
    say beat "${at:-0}" 2>/dev/null || break
  done
  exit 0
}

# hear_client: gives each line of the client to heed. Each counts up the file that keepalive.sh watches. Without lines, the pod ends.
hear_client() {
  heard=0
  while IFS=' ' read -r command text <&3; do
    heard=$((heard + 1))
    echo "$heard" >"$POD/beat"
    heed "$command" "$text"
  done
}

require_tools() {
  missing=
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
  done
  [ -z "$missing" ] || lost image "the image lacks${missing}"
}

# check_proven_file WHAT: checks that the file $FILE of the volume has the size $BYTES and the SHA-256 $SUM. Makes its path absolute.
check_proven_file() {
  FILE=$VOLUME/$FILE
  if ! [ -f "$FILE" ] || ! [ -r "$FILE" ]; then
    reason=$(cat -- "$FILE" 2>&1 >/dev/null)
    case $reason in
    *'No such file'*) bad "$1 is not there" ;;
    *'s a directory'*) bad "$1 is a directory" ;;
    esac
    printf '%s\n' "$reason" >"$SCRATCH/errors"
    case $reason in *ermission*) lost user "the user of the pod may not read $1" ;; esac
    lost other "$1 cannot be read"
  fi
  size=$(file_size "$FILE")
  [ "$size" = "$BYTES" ] || bad "$1 has $size bytes, the proof says $BYTES"
  hash_stdin <"$FILE" >"$SCRATCH/sum" 2>"$SCRATCH/errors" &
  echo "$!" >"$SCRATCH/reading"
  wait "$!" || lost other "$1 could not be read: hashing ended with status $?"
  read -r sum _ <"$SCRATCH/sum" || lost space 'nothing can be written in the scratch volume'
  [ "$sum" = "$SUM" ] || bad "the SHA-256 of $1 is not that of the proof"
}

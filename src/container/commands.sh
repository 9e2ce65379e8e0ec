# The end of a session's script: looks round, then hears what it is told: `dump`, `load INODE BYTES SHA256 HOW`, `release INODE
# BYTES`, and heartbeats.

there=
if cd -P -- "${FILE%/*}/" 2>/dev/null; then there=yes; fi
compressor=$(command -v pigz || command -v gzip)
asked=
# From here on $! is set.
: &
wait
look_round &
worker=$!
worker_started=$(started "$worker")
ticker &
ticking=$!
ticking_started=$(started "$ticking")
trap finish TERM HUP INT
while IFS=' ' read -r command inode bytes sum how <&3; do
  case $command in
  beat) end USR1 "$ticking" "$ticking_started" ;;
  dump | load)
    if [ -z "$asked" ]; then
      asked=yes
      work &
      worker=$!
      worker_started=$(started "$worker")
    fi
    ;;
  release)
    if unchanged "$inode" "$bytes"; then say unchanged yes; else say unchanged no; fi
    break
    ;;
  esac
done
finish

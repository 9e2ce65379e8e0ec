# The last part of a session's script: starts the preflight, then reads commands from stdin: `dump GLOBALS WHEN`, `place`,
# `hold SUFFIX`, `load GLOBALS BYTES SHA256 HOW`, `release INODE BYTES`, and `beat`, the client's heartbeat.

there=
if cd -P -- "${FILE%/*}/" 2>/dev/null; then there=yes; fi
asked=
# What a load reads: the dump file, or the file that receive.sh wrote.
source=$FILE
# Sets $!, which stop_worker reads.
: &
wait
preflight &
worker=$!
worker_started=$(start_time "$worker")
run_ticker &
ticker=$!
ticker_started=$(start_time "$ticker")
trap finish TERM HUP INT
while IFS=' ' read -r command inode bytes sum how <&3; do
  case $command in
  beat) signal_process USR1 "$ticker" "$ticker_started" ;;
  hold)
    source=$own.$inode
    begin_work &
    worker=$!
    worker_started=$(start_time "$worker")
    ;;
  dump | load)
    if [ -z "$asked" ]; then
      asked=yes
      globals=$inode
      when=$bytes
      work &
      worker=$!
      worker_started=$(start_time "$worker")
    fi
    ;;
  place) : >"$own.place" ;;
  release)
    if is_unchanged "$inode" "$bytes"; then say unchanged yes; else say unchanged no; fi
    break
    ;;
  esac
done
finish

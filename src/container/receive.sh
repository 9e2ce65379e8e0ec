# Writes what comes on stdin behind the values to a file of a load session that holds the dump lock. That session removes the file
# when it ends, and this script ends with it.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
read_value && SUFFIX=$VALUE
own=$FILE.backup-ns-$NONCE
received=$own.$SUFFIX

# Opened before the check: a session that ends after the check removes the file.
exec 3<&0 4>"$received" </dev/null
if ! [ -e "$own.held" ]; then
  rm -f "$received"
  say lost "other the session that holds the dump lock has ended"
  exit 0
fi
cat <&3 >&4 &
receiving=$!
{
  while sleep 1 >/dev/null 2>&1 && start_time $$ >/dev/null; do
    if ! { [ -e "$own.held" ] && say beat "$(file_size "$received" 2>/dev/null)" 2>/dev/null; }; then kill -TERM $$; fi
  done
  exit 0
} 3<&- 4>&- &
ticker=$!
# shellcheck disable=SC2317 # called by a trap
stop() {
  kill -TERM "$receiving" "$ticker" 2>/dev/null
  wait
  rm -f "$received"
  exit 0
}
# Set after the children are started: one that has just been forked still has this shell's traps, and dash and busybox ash drop a
# signal that arrives then. A short file is received before the ticker runs, and the wait for it would then not end.
trap stop TERM HUP INT
exec 3<&- 4>&-
wait "$receiving"
status=$?
if [ "$status" = 0 ]; then
  say bytes "$(file_size "$received")"
else
  say lost "other cat ended with status $status"
fi
stop_heartbeat
say end yes

# What a database is like, and how full its volume is.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
db_read_connection
exec </dev/null
start_heartbeat
if cd -P -- "${FILE%/*}/" 2>/dev/null; then say df "$(df -P -k . | tail -n 1)"; fi
say database "$(db_name)"
# The inner shell is psql, whose status may be taken for a crash where its parent is gone.
( (db_answers) || exit 1) &
if wait "$!"; then
  db_info | while IFS= read -r told; do
    case $told in "$NONCE "*) printf '%s\n' "$told" ;; *) say table "$told" ;; esac
  done
  say answers yes
fi
stop_heartbeat
say end yes

# Reports version, size and tables of a database, and how full its volume is.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
db_read_connection
exec </dev/null
start_heartbeat
if cd -P -- "${FILE%/*}/" 2>/dev/null; then say df "$(df -P -k . | tail -n 1)"; fi
say database "$(db_name)"
# The inner shell becomes psql, whose status may be above 1; see common.sh. The outer one ends with 0 or 1.
( (db_answers) || exit 1) &
if wait "$!"; then
  db_info | while IFS= read -r row; do
    case $row in "$NONCE "*) printf '%s\n' "$row" ;; *) say table "$row" ;; esac
  done
  say answers yes
fi
stop_heartbeat
say end yes

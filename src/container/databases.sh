# Lists the databases of a server that a backup of all of them holds.

read_value && NONCE=$VALUE
db_read_connection
exec </dev/null
start_heartbeat
say own "$(db_name)"
# The inner shell becomes the client, whose status may be above 1; see common.sh. The outer one ends with 0 or 1.
( (db_list_databases) || exit 1) &
if wait "$!"; then say answers yes; fi
stop_heartbeat
say end yes

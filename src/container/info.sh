# What a database is like, and how full its volume is.

take && NONCE=$VALUE
take && FILE=$VALUE
db_take
exec </dev/null
tick
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
untick
say end yes

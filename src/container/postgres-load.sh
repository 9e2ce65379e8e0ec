# PostgreSQL's part of a load: how to be sure of all or nothing, or to know beforehand.

# db_load: one transaction, so that it is all or nothing.
db_load() {
  state='the database is as it was: all of it was one transaction'
  say state "$state"
  unsure='the database is as it was, or as the dump has it: the end of the transaction was not heard of'
  say phase load
  pour without_own_transactions || {
    # What psql itself gave up is undone, whatever it was at.
    [ "$poured" != 3 ] || say state "$state"
    lost "$why"
  }
}

undo() { :; }

db_client() { exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --output=/dev/null --set=ON_ERROR_STOP=1; }

# db_first: from here on no end of a transaction passes but ours: a constraint that is looked at only then does not hold. A
# server that knows how ends what it is at when its client is gone.
db_first() {
  printf '%s\n' 'BEGIN;' \
    "SELECT pg_catalog.set_config(name, '2s', false) FROM pg_catalog.pg_settings
       WHERE name = 'client_connection_check_interval';" \
    'CREATE TEMPORARY TABLE backup_ns_gate (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);' \
    'INSERT INTO pg_temp.backup_ns_gate VALUES (1), (1);'
}

# db_last: opens the gate, and says that the end was reached.
db_last() {
  printf '%s\n' 'DELETE FROM pg_temp.backup_ns_gate;' 'COMMIT;' '\o' "SELECT '$NONCE';"
}

# without_own_transactions: pg_dump puts large objects between a BEGIN and a COMMIT of its own, which would end ours. What it is
# dumping stands in a comment before it; rows of tables are left alone.
without_own_transactions() {
  exec awk '
    copying { print; if ($0 == "\\.") copying = 0; next }
    held {
      if ($0 == "") { blank = blank "\n"; next }
      if (index($0, "SELECT pg_catalog.lo_open(") != 1) print "BEGIN;"
      printf "%s", blank
      held = 0
    }
    /^-- (Data for )?Name: .*; Type: / { large = /; Type: BLOBS; /; table = /; Type: TABLE DATA; / }
    table && /^COPY .* FROM stdin;$/ { copying = 1; print; next }
    large && $0 == "BEGIN;" { held = 1; blank = ""; next }
    large && $0 == "COMMIT;" && last == "SELECT pg_catalog.lo_close(0);" { next }
    $0 != "" { last = $0 }
    { print }
    END { if (held) print "BEGIN;" }
  '
}

# PostgreSQL's part of a load: how to be sure of all or nothing, or to know beforehand.

# db_load: one transaction, so that it is all or nothing.
db_load() {
  state='the database is as it was: all of it was one transaction'
  say state "$state"
  unsure='the database is as it was, or as the dump has it: the end of the transaction was not heard of'
  say phase load
  load_through filter_for_replace || {
    # What psql itself gave up is undone, whatever it was at.
    [ "$client_status" != 3 ] || say state "$state"
    lost other "$why"
  }
  if grep "^$NONCE gone " "$own.out" && [ "$how" != any ]; then
    say state "$state"
    lost gone 'what is not in the dump depends on what it replaces, and would be dropped'
  fi
}

undo() { :; }

db_client() { exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --output=/dev/null --set=ON_ERROR_STOP=1; }

# PostgreSQL's part of load.sh.

# db_load: loads in one transaction, so that all of the dump is loaded or nothing.
db_load() {
  state='the database is as it was: all of it was one transaction'
  say state "$state"
  unsure='the database is as it was, or as the dump has it: the end of the transaction was not heard of'
  say phase load
  load_through filter_for_replace || {
    # Status 3: psql stopped at an error, so the server has rolled back.
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

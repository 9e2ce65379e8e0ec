# PostgreSQL's part of load.sh.

# db_load: loads in one transaction, so that all of the dump is loaded or nothing.
db_load() {
  state='the database is as it was: all of it was one transaction'
  say state "$state"
  unsure='the database is as it was, or as the dump has it: the end of the transaction was not heard of'
  if [ "$globals" != - ]; then prepare_roles; fi
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

# db_report_roles: reports the roles of the server, in double quotes.
db_report_roles() {
  exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --command "
    SELECT '$NONCE role ' || name FROM ($ROLES_OF_SERVER) roles WHERE name !~ '[[:cntrl:]]'"
}
ROLES_OF_SERVER="SELECT '\"' || pg_catalog.replace(rolname, '\"', '\"\"') || '\"' AS name FROM pg_catalog.pg_roles"

# prepare_roles: writes the statements that make the missing roles, from the file with the SHA-256 $globals, to $own.roles. They run
# in the transaction of the load.
prepare_roles() {
  copy_globals roles
  list_known >"$own.known" &
  children=$!
  wait_for "$children" || lost other "the server cannot be asked for its roles"
  children=
  : >"$own.left"
  filter_roles "$own.known" "$own.left" <"$own.globals" >"$own.roles" || lost other "the file of roles cannot be read"
  tail -n 100 "$own.left" | while IFS= read -r left; do say not-granted "$left"; done
  rm -f "$own.globals" "$own.known" "$own.left"
}

# list_known: prints the roles and databases of the server. It execs the tool.
list_known() {
  exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --command "
    SELECT 'role ' || name FROM ($ROLES_OF_SERVER) roles
    UNION ALL SELECT 'database \"' || pg_catalog.replace(datname, '\"', '\"\"') || '\"' FROM pg_catalog.pg_database"
}

undo() { :; }

db_client() { exec psql --no-psqlrc --no-password --quiet --no-align --tuples-only --output=/dev/null --set=ON_ERROR_STOP=1; }

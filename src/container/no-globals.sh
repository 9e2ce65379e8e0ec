# In the place of globals.sh, for a database whose accounts are not written beside its dump.

db_globals_of=accounts
db_globals_tool=
make_globals() { globals=; }
place_globals() { :; }
remove_other_globals() { :; }

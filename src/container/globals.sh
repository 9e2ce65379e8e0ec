# The roles or accounts of the server, in a file of SQL beside the dump: `DUMP.globals-HASH.sql`, where HASH is the beginning of its
# own SHA-256. So a new file never has the name of an old one, and a fault before the new dump is in place leaves the old dump with
# the file of its proof. The file may hold hashes of passwords, so only its owner may read it.

# make_globals MODE: writes them to a temporary file, and checks that it is complete. MODE is `auto` or `true`; otherwise nothing is
# made. Puts what is to be reported in $globals, which stays empty without a file, and the end of the file's name in $globals_name.
# Fails with the reason in $why.
make_globals() {
  globals='' globals_name='' why=
  case $1 in auto | true) write_globals || why=${why:-"it failed"} ;; esac
  [ -z "$why" ]
}

# miss_globals MODE: reports why make_globals failed, and ends the work if they must be made.
miss_globals() {
  # The tool's first error, or else its first line.
  said=
  while IFS= read -r line; do
    case $line in *error:* | ERROR*) said=$line && break ;; esac
    said=${said:-$line}
  done <"$own.globals-words"
  said=$(printf %.500s "$said" | tr '\r\t' '  ')
  rm -f "$own.globals" "$own.globals-words"
  case $1 in true) lost globals "$why${said:+: $said}" ;; esac
  say no-globals "$why${said:+: $said}"
}

write_globals() {
  : >"$own.globals-words"
  db_globals_mode >"$own.globals-mode" 2>"$own.globals-words" &
  asking=$! children="$children $!"
  wait_for "$asking" || { why="the server cannot be asked for its $db_globals_of" && return 1; }
  passwords=
  read -r passwords <"$own.globals-mode"
  [ "$passwords" = yes ] || passwords=no
  rm -f "$own.globals-mode"
  # A hash of the file is published with the proof. The random line keeps that from confirming a guess at a password.
  read -r random </proc/sys/kernel/random/uuid || { why="/proc/sys/kernel/random/uuid cannot be read" && return 1; }
  echo "-- The $db_globals_of of the server, by backup-ns. Random: $random" >"$own.globals" ||
    { why="nothing can be written beside the dump file" && return 1; }
  db_globals "$passwords" >>"$own.globals" 2>"$own.globals-words" &
  asking=$! children="$children $!"
  wait_for "$asking" || { why="$db_globals_tool ended with status $status" && return 1; }
  tail=$(tail -c 500 "$own.globals" | tr -d '\000')
  db_globals_are_complete "$(strip_final_newlines "$tail")" || { why="what $db_globals_tool wrote does not end as a complete one" && return 1; }
  give_to_directory_owner "$own.globals"
  chmod 600 "$own.globals" || return 1
  sum_of_globals=$(print_sha256 <"$own.globals")
  globals="$(db_count_globals <"$own.globals") $passwords $(file_size "$own.globals") $sum_of_globals"
  globals_name=$(printf %.16s "$sum_of_globals")
  [ "${#globals_name}" -eq 16 ] || { why="its SHA-256 cannot be computed" && return 1; }
}

# place_globals: gives the file its name, before the dump is renamed.
place_globals() {
  rm -f "$own.globals-words"
  [ -z "$globals" ] || mv -f "$own.globals" "$FILE.globals-$globals_name.sql"
}

# remove_other_globals: removes those of earlier dumps, once the new dump is in place.
remove_other_globals() {
  for other in "$FILE".globals-*.sql; do
    [ "$other" = "$FILE.globals-$globals_name.sql" ] || rm -f -- "$other"
  done
}

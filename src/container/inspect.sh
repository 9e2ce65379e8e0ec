# Reports size, age and SHA-256 of a dump file, and on request whether it is whole and which roles or accounts it names. Changes
# nothing.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
read_value && TEST=$VALUE
choose_unpacker "$FILE"
exec </dev/null

# dump_kind: prints what the text of the dump begins as. pg_dumpall writes more than one database; so does mysqldump with
# --databases, which names the database in the text.
dump_kind() {
  head=$({ (unpack </proc/self/fd/4) | head -c 4000 | tr -d '\000'; } 2>/dev/null)
  case $head in
  PGDMP* | toc.dat*) echo archive ;;
  '--'"$nl"'-- PostgreSQL database cluster dump'*) echo cluster ;;
  '--'"$nl"'-- PostgreSQL database dump'*) echo postgres ;;
  '-- MySQL dump '* | '-- MariaDB dump '* | '/*'*"$nl"'-- MariaDB dump '*)
    case $head in *"$nl-- Current Database: "*) echo databases ;; *) echo mysql ;; esac
    ;;
  *) echo unknown ;;
  esac
}

start_heartbeat
if [ -f "$FILE" ] && [ -r "$FILE" ]; then
  # An open file stays the same, even if another is renamed to its name.
  exec 4<"$FILE"
  say bytes "$(file_size "$FILE")"
  say modified "$(date -u -r "$FILE" +%Y-%m-%dT%H:%M:%SZ)"
  say sha256 "$(print_sha256 <&4)"
  if [ -n "$TEST" ]; then say kind "$(dump_kind)"; fi
  if [ -n "$TEST" ] && ! command -v "$unpacker" >/dev/null; then
    say lacks "$unpacker"
  elif [ -n "$TEST" ]; then
    # The end of the text, with the tool's status as its last line.
    tail=$({
      (unpack </proc/self/fd/4)
      printf '\n%s' "$?"
    } | tail -c 500 | tr -d '\000')
    if [ "${tail##*"$nl"}" != 0 ]; then
      say broken 'it does not test whole'
    elif ! db_is_complete "$(strip_final_newlines "${tail%"${nl}0"}")"; then
      say broken 'it does not end as a complete dump does'
    fi
  fi
  if [ "$TEST" = roles ] && command -v awk >/dev/null; then
    db_report_needs
    for globals in "$FILE".globals-*.sql; do
      # Opening a named pipe would wait for ever.
      { [ -f "$globals" ] && [ -r "$globals" ]; } || continue
      say globals-file "$(file_size "$globals") $(print_sha256 <"$globals")"
      db_report_globals <"$globals"
    done
  fi
  if [ "$TEST" = count ]; then
    say plain "$({ (unpack </proc/self/fd/4) || :; } | wc -c)"
  fi
else
  say absent yes
fi
stop_heartbeat
say end yes

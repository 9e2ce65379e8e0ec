# What a dump file is, without touching anything: size, age, SHA-256, and if asked to, whether it is whole.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
read_value && TEST=$VALUE
exec </dev/null
start_heartbeat
if [ -f "$FILE" ] && [ -r "$FILE" ]; then
  # Once open it stays the same, whatever is renamed to its name.
  exec 4<"$FILE"
  say bytes "$(file_size "$FILE")"
  say modified "$(date -u -r "$FILE" +%Y-%m-%dT%H:%M:%SZ)"
  say sha256 "$(sha256sum <&4 | cut -d ' ' -f 1)"
  if [ -n "$TEST" ]; then
    # gzip's status stands behind the text it unpacked.
    tail=$({
      gzip -dc </proc/self/fd/4
      printf '\n%s' "$?"
    } | tail -c 500 | tr -d '\000')
    if [ "${tail##*"$nl"}" != 0 ]; then
      say broken 'it does not test whole'
    elif ! db_is_complete "$(strip_final_newlines "${tail%"${nl}0"}")"; then
      say broken 'it does not end as a complete dump does'
    fi
  fi
  if [ "$TEST" = count ]; then
    say plain "$({ gzip -dc </proc/self/fd/4 || :; } | wc -c)"
  fi
else
  say absent yes
fi
stop_heartbeat
say end yes

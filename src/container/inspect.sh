# What a dump file is, without touching anything: size, age, SHA-256, and if asked to, whether it is whole.

take && NONCE=$VALUE
take && FILE=$VALUE
take && TEST=$VALUE
exec </dev/null
tick
if [ -f "$FILE" ] && [ -r "$FILE" ]; then
  # Once open it stays the same, whatever is renamed to its name.
  exec 4<"$FILE"
  say bytes "$(bytes "$FILE")"
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
    elif ! db_complete "$(stripped "${tail%"${nl}0"}")"; then
      say broken 'it does not end as a complete dump does'
    fi
  fi
  if [ "$TEST" = count ]; then
    say plain "$({ gzip -dc </proc/self/fd/4 || :; } | wc -c)"
  fi
else
  say absent yes
fi
untick
say end yes

# The second look at a dump file, by a process and a stream of its own: flushes its file system once more and says what
# the file is.

take && NONCE=$VALUE
take && FILE=$VALUE
exec </dev/null

# A sign of life while a large file is read, as long as somebody reads it.
{
  while sleep 2 >/dev/null 2>&1 && started $$ >/dev/null; do say beat 0 2>/dev/null || break; done
  exit 0
} &
ticking=$!
cd -P -- "${FILE%/*}/" || exit 72
flush || exit 73
say identity "$(identity)"
say inode "$(inode "$FILE")"
say bytes "$(bytes "$FILE")"
say sha256 "$(sha256sum <"$FILE" | cut -d ' ' -f 1)"
kill -TERM "$ticking" 2>/dev/null
wait
say end yes

# The recheck of a dump file, in an exec of its own that is started while the dump is flushed: flushes the file system again, and
# reports what the file is.

read_value && NONCE=$VALUE
# The path comes when the dump is in place. Heartbeats may come before it.
until read_value && [ "$VALUE" != beat ]; do :; done
FILE=$VALUE
exec </dev/null

start_heartbeat
cd -P -- "${FILE%/*}/" || exit 72
flush || exit 73
say identity "$(container_identity)"
say inode "$(file_inode "$FILE")"
say bytes "$(file_size "$FILE")"
say sha256 "$(print_sha256 <"$FILE")"
for globals in "$FILE".globals-*.sql; do
  if [ -f "$globals" ]; then say globals-file "$(file_size "$globals") $(print_sha256 <"$globals")"; fi
done
stop_heartbeat
say end yes

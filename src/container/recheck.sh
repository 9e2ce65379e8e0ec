# The second look at a dump file, by a process and a stream of its own: flushes its file system once more and says what
# the file is.

read_value && NONCE=$VALUE
read_value && FILE=$VALUE
exec </dev/null

start_heartbeat
cd -P -- "${FILE%/*}/" || exit 72
flush || exit 73
say identity "$(container_identity)"
say inode "$(file_inode "$FILE")"
say bytes "$(file_size "$FILE")"
say sha256 "$(sha256sum <"$FILE" | cut -d ' ' -f 1)"
stop_heartbeat
say end yes

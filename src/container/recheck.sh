# The recheck of a dump file, in an exec of its own: flushes the file system again and reports what the file is.

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

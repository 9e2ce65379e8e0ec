# The second look at a dump file, by a process and a stream of its own: flushes its file system once more and says what
# the file is.

take && NONCE=$VALUE
take && FILE=$VALUE
exec </dev/null

tick
cd -P -- "${FILE%/*}/" || exit 72
flush || exit 73
say identity "$(identity)"
say inode "$(inode "$FILE")"
say bytes "$(bytes "$FILE")"
say sha256 "$(sha256sum <"$FILE" | cut -d ' ' -f 1)"
untick
say end yes

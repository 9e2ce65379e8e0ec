# Reports whether a directory exists.

read_value && NONCE=$VALUE
read_value && DIRECTORY=$VALUE
exec </dev/null

if [ -d "$DIRECTORY" ]; then say exists yes; else say exists no; fi
say end yes

# Flushes the file systems of a volume, for a snapshot without a dump.

read_value && NONCE=$VALUE
read_value && MOUNTS=$VALUE
while [ "$MOUNTS" -gt 0 ]; do
  read_value
  cd -P -- "$VALUE" || exit 72
  flush || exit 73
  MOUNTS=$((MOUNTS - 1))
done
say end yes

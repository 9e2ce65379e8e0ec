# Flushes the file systems of a volume, for a snapshot without a dump.

take && NONCE=$VALUE
take && MOUNTS=$VALUE
while [ "$MOUNTS" -gt 0 ]; do
  take
  cd -P -- "$VALUE" || exit 72
  flush || exit 73
  MOUNTS=$((MOUNTS - 1))
done
say end yes

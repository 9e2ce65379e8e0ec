# Holds the pod of a restore test as its process 1, until the session that works in it is done, or none was heard of for a
# minute. With it everything in the pod ends, whoever started it.
silent=0 last=
while [ "$silent" -lt 60 ] && [ ! -e "$1/done" ]; do
  sleep 1
  now=$(cat "$1/beat" 2>/dev/null)
  if [ "$now" = "$last" ]; then silent=$((silent + 1)); else silent=0; fi
  last=$now
done

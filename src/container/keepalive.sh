# Process 1 of a restore test's pod: ends when the session is done, or when the session wrote no heartbeat for a minute. All
# processes of the pod end with it.
silent=0 last=
while [ "$silent" -lt 60 ] && [ ! -e "$1/done" ]; do
  sleep 1
  now=$(cat "$1/beat" 2>/dev/null)
  if [ "$now" = "$last" ]; then silent=$((silent + 1)); else silent=0; fi
  last=$now
done

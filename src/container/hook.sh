# The commands that a user wants run around a backup: the one before now, the one after when told to, or when the session
# ends in any other way: its stdin ends, brings no heartbeat for a minute, or its main shell is killed.

take && NONCE=$VALUE
take && LIMIT=$VALUE
take && BEFORE=$VALUE
take && AFTER=$VALUE

exec 3<&0 </dev/null
main=$$
main_started=$(started "$main")

end() {
  if [ "$(started "$2")" = "$3" ]; then kill "-$1" "$2" 2>/dev/null; fi
}

# run WHICH COMMAND: its status as a line; what it prints goes to stderr. A command that takes longer than it may is
# ended, with TERM and then with KILL.
run() {
  sh -c "$2" >&2 3<&- &
  running=$!
  running_started=$(started "$running")
  waited=0
  while [ "$(started "$running")" = "$running_started" ] && [ -n "$running_started" ]; do
    if [ "$waited" -ge $((LIMIT * 5)) ]; then
      end TERM "$running" "$running_started"
      sleep 2 >/dev/null 2>&1
      end KILL "$running" "$running_started"
      late=yes
    fi
    sleep 0.2 >/dev/null 2>&1 || sleep 1
    waited=$((waited + 1))
    say beat 0 2>/dev/null
  done
  wait "$running"
  status=$?
  [ -z "${late-}" ] || status=timeout
  late=
  say "$1" "$status" 2>/dev/null
}

# after: once, by whoever gets there first of the two; a command that is killed in the middle is run again.
after() {
  trap '' TERM HUP INT
  [ -z "$AFTER" ] || run after "$AFTER"
}

ticker() {
  trap 'unheard=0' USR1
  unheard=0
  while sleep 1 >/dev/null 2>&1; do
    if [ "$(started "$main")" != "$main_started" ]; then
      after
      exit 0
    fi
    say beat 0 2>/dev/null || kill -TERM "$main"
    unheard=$((unheard + 1))
    [ "$unheard" -lt 60 ] || kill -TERM "$main"
  done
}

finish() {
  after
  end TERM "$ticking" "$ticking_started"
  wait
  say end yes
  exit 0
}

ticker &
ticking=$!
ticking_started=$(started "$ticking")
trap finish TERM HUP INT
if [ -n "$BEFORE" ]; then run before "$BEFORE"; else say before 0; fi
while IFS=' ' read -r command <&3; do
  case $command in
  beat) end USR1 "$ticking" "$ticking_started" ;;
  after) break ;;
  esac
done
finish

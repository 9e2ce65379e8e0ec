# The commands that a user wants run around a backup: the one before now, the one after when told to, or when the session
# ends in any other way: its stdin ends, brings no heartbeat for a minute, or its main shell is killed. The one before
# has ended then, or is ended first.

take && NONCE=$VALUE
take && LIMIT=$VALUE
take && BEFORE=$VALUE
take && AFTER=$VALUE

exec 3<&0 </dev/null
main=$$
main_started=$(started "$main")
running='' running_started=''
ticking='' ticking_started=''
reading='' reading_started=''

runs() { [ -n "$running_started" ] && [ "$(started "$running")" = "$running_started" ]; }

# start COMMAND: what it prints goes to stderr.
start() {
  sh -c "$1" >&2 3<&- &
  running=$!
  running_started=$(started "$running")
}

# stop: ends the command that runs, with TERM and then with KILL.
stop() {
  tries=0
  while runs; do
    if [ "$tries" = 0 ]; then end TERM "$running" "$running_started"; fi
    if [ "$tries" = 10 ]; then end KILL "$running" "$running_started"; fi
    tries=$((tries + 1))
    pause
  done
}

pause() { sleep 0.2 >/dev/null 2>&1 || sleep 1; }

# follow WHICH: waits for the command that was started and says its status. One that takes longer than it may is ended.
follow() {
  waited=0 late=
  while runs; do
    if [ "$waited" -ge $((LIMIT * 5)) ]; then
      stop
      late=yes
    fi
    pause
    waited=$((waited + 1))
  done
  wait "$running"
  status=$?
  [ -z "$late" ] || status=timeout
  running_started=
  say "$1" "$status" 2>/dev/null
}

# after: by the main shell, or by the ticker where that one is gone; one that was killed in the middle is run again.
after() {
  trap '' TERM HUP INT
  stop
  if [ -n "$AFTER" ]; then
    start "$AFTER"
    follow after
  fi
}

# ticker: a sign of life every second; sees that heartbeats come in and that the main shell lives.
ticker() {
  trap 'unheard=0' USR1
  unheard=0
  while sleep 1 >/dev/null 2>&1; do
    if [ "$(started "$main")" != "$main_started" ]; then
      after
      exit 0
    fi
    say beat 0 2>/dev/null || end TERM "$main" "$main_started"
    unheard=$((unheard + 1))
    [ "$unheard" -lt 60 ] || end TERM "$main" "$main_started"
  done
}

# reader: hears heartbeats, and the word or the end that means after, while commands run.
reader() {
  while IFS=' ' read -r command <&3; do
    case $command in
    beat) end USR1 "$ticking" "$ticking_started" ;;
    after) break ;;
    esac
  done
  end TERM "$main" "$main_started"
  exit 0
}

finish() {
  after
  end TERM "$reading" "$reading_started"
  end TERM "$ticking" "$ticking_started"
  wait
  say end yes
  exit 0
}

trap finish TERM HUP INT
# The ticker is born when the command before runs already, so that it knows it.
[ -z "$BEFORE" ] || start "$BEFORE"
ticker &
ticking=$!
ticking_started=$(started "$ticking")
reader &
reading=$!
reading_started=$(started "$reading")
if [ -n "$BEFORE" ]; then follow before; else say before 0; fi
wait "$reading"
finish

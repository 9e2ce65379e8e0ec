# The commands that a user wants run around a backup: the one before now, the one after when told to, or when the session
# ends in any other way: its stdin ends, brings no heartbeat for a minute, or its main shell is killed. The one before
# has ended then, or is ended first.

read_value && NONCE=$VALUE
read_value && LIMIT=$VALUE
read_value && PRE=$VALUE
read_value && POST=$VALUE

exec 3<&0 </dev/null
main=$$
main_started=$(start_time "$main")
running='' running_started=''
ticker='' ticker_started=''
reader='' reader_started=''

is_running() { [ -n "$running_started" ] && [ "$(start_time "$running")" = "$running_started" ]; }

# start_command COMMAND: what it prints goes to stderr.
start_command() {
  sh -c "$1" >&2 3<&- &
  running=$!
  running_started=$(start_time "$running")
}

# stop_command: ends the command that runs, with TERM and then with KILL.
stop_command() {
  tries=0
  while is_running; do
    if [ "$tries" = 0 ]; then signal_process TERM "$running" "$running_started"; fi
    if [ "$tries" = 10 ]; then signal_process KILL "$running" "$running_started"; fi
    tries=$((tries + 1))
    pause
  done
}

pause() { sleep 0.2 >/dev/null 2>&1 || sleep 1; }

# wait_for_command WHICH: waits for the command that was started and says its status. One that takes longer than it may is ended.
wait_for_command() {
  waited=0 late=
  while is_running; do
    if [ "$waited" -ge $((LIMIT * 5)) ]; then
      stop_command
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

# run_post: by the main shell, or by the ticker where that one is gone; one that was killed in the middle is run again.
run_post() {
  trap '' TERM HUP INT
  stop_command
  if [ -n "$POST" ]; then
    start_command "$POST"
    wait_for_command post
  fi
}

# run_ticker: a sign of life every second; sees that heartbeats come in and that the main shell lives.
run_ticker() {
  trap 'unheard=0' USR1
  unheard=0
  while sleep 1 >/dev/null 2>&1; do
    if [ "$(start_time "$main")" != "$main_started" ]; then
      run_post
      exit 0
    fi
    say beat 0 2>/dev/null || signal_process TERM "$main" "$main_started"
    unheard=$((unheard + 1))
    [ "$unheard" -lt 60 ] || signal_process TERM "$main" "$main_started"
  done
}

# run_reader: hears heartbeats, and the word or the end that means after, while commands run.
run_reader() {
  while IFS=' ' read -r command <&3; do
    case $command in
    beat) signal_process USR1 "$ticker" "$ticker_started" ;;
    post) break ;;
    esac
  done
  signal_process TERM "$main" "$main_started"
  exit 0
}

finish() {
  run_post
  signal_process TERM "$reader" "$reader_started"
  signal_process TERM "$ticker" "$ticker_started"
  wait
  say end yes
  exit 0
}

trap finish TERM HUP INT
# The ticker is born when the command before runs already, so that it knows it.
[ -z "$PRE" ] || start_command "$PRE"
run_ticker &
ticker=$!
ticker_started=$(start_time "$ticker")
run_reader &
reader=$!
reader_started=$(start_time "$reader")
if [ -n "$PRE" ]; then wait_for_command pre; else say pre 0; fi
wait "$reader"
finish

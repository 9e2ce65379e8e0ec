# Runs the user's hooks: the pre command now, and the post command on the command `post` or when the session ends in any other
# way: stdin ends, brings no heartbeat for a minute, or the main shell is killed. If the pre command still runs then, it is
# ended first.

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

# start_command COMMAND: starts it in the background. Its output goes to stderr.
start_command() {
  sh -c "$1" >&2 3<&- &
  running=$!
  running_started=$(start_time "$running")
}

# stop_command: ends the running command with TERM, and after two seconds with KILL.
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

# wait_for_command pre|post: waits for the command that was started and reports its exit status, or `timeout` if it took longer
# than $LIMIT seconds and was ended.
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

# run_post: runs the post command. The main shell calls it, or the ticker if the main shell was killed. If the main shell was
# killed during the post command, the ticker ends that and runs it again.
run_post() {
  trap '' TERM HUP INT
  stop_command
  if [ -n "$POST" ]; then
    start_command "$POST"
    wait_for_command post
  fi
}

# run_ticker: reports `beat` every second. Ends the main shell if that cannot be written or no heartbeat came in for a minute;
# runs the post command if the main shell was killed.
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

# run_reader: reads heartbeats from stdin while commands run. The command `post` and the end of stdin end the main shell's wait.
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
# The ticker is started after the pre command, so that its copy of the variables holds that command's process id.
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

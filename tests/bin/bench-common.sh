# shellcheck shell=sh disable=SC2154
# What the parts of the benchmark share. Sourced by them; bench.sh, which starts them, has set BASE, RUNS and the way to the
# cluster.

ours=$PWD/target/release/backup-ns
real=$(command -v kubectl)
work=$(mktemp -d)

say() { echo "bench: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}

# A kubectl that notes its verb.
mkdir "$work/bin"
cat >"$work/bin/kubectl" <<COUNTING
#!/bin/sh
for word; do case \$word in -*) ;; *) break ;; esac; done
echo "\$word" >>"$work/verbs"
exec "$real" "\$@"
COUNTING
chmod +x "$work/bin/kubectl"

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
most() { sort -n | tail -n 1; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'; }
now() { date +%s%N; }
# since NANOSECONDS: seconds.
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f\n", (b - a) / 1e9 }'; }
# counted FILE: how many of each word, in one line.
counted() { sort "$1" | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 }'; }
field() { sed -n "s/^ *\"$2\": \([0-9.]*\).*/\1/p" "$1"; }

# target WHAT VALUE least|most LIMIT: the line that says whether the target is met.
target() {
	awk -v what="$1" -v value="$2" -v bound="$3" -v limit="$4" 'BEGIN {
		met = bound == "least" ? value + 0 >= limit + 0 : value + 0 <= limit + 0
		printf "  target: %s: %s, at %s %s: %s\n", what, value, bound, limit, met ? "met" : "missed" }'
}

# resident PID: sets $memory to the peak memory of a process in KiB, if it is more.
resident() {
	while read -r key value _; do
		[ "$key" != VmHWM: ] || [ "$value" -le "$memory" ] || memory=$value
	done 2>/dev/null <"/proc/$1/status" || return 1
}

# peak WHO: appends to WHO.memory the peak memory of the process whose id comes in $work/pid, and to WHO.child that of its
# largest kubectl.
peak() {
	until [ -s "$work/pid" ]; do sleep 0.01; done
	read -r pid <"$work/pid"
	parent=0 child=0
	while [ -e "/proc/$pid/status" ]; do
		memory=$parent
		resident "$pid" || break
		parent=$memory memory=$child
		for task in "/proc/$pid/task"/*/children; do
			{ read -r children || :; } 2>/dev/null <"$task" || continue
			for one in $children; do resident "$one" || :; done
		done
		child=$memory
		sleep 0.05
	done
	echo "$parent" >>"$work/$1.memory"
	echo "$child" >>"$work/$1.child"
}

# run WHO BINARY ARGUMENTS...: one run. Appends to the files WHO.seconds, WHO.calls (kubectl processes), WHO.memory and WHO.child;
# leaves its output and its log in $work/out and $work/log.
run() {
	who=$1 program=$2
	shift 2
	: >"$work/verbs"
	rm -f "$work/pid"
	peak "$who" &
	watcher=$! code=0 began=$(now)
	# shellcheck disable=SC2016 # for that shell
	PATH="$work/bin:$PATH" sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" "$program" "$@" --log-format json \
		>"$work/out" 2>"$work/log" || code=$?
	since "$began" >>"$work/$who.seconds"
	wait "$watcher"
	[ "$code" = 0 ] || die "$program $* ended with $code: $(tail -n 5 "$work/log")"
	wc -l <"$work/verbs" >>"$work/$who.calls"
	counted "$work/verbs" >"$work/$who.verbs"
}

k() { "$real" -n "$namespace" "$@"; }

# demo MANIFEST IMAGE: makes $namespace with the database of the demo, in that image and with room for more.
demo() {
	"$real" create namespace "$namespace" >/dev/null
	sed "s#image: .*#image: $2#; s#storage: 1Gi#storage: 4Gi#" "kind/demo/$1.yaml" | k apply -f - >/dev/null
	k rollout status deployment/app-base --timeout=300s >/dev/null
}

# inside SCRIPT: in the container of the demo's PostgreSQL, with the password of the user app. The script is for its shell.
# shellcheck disable=SC2016
inside() { k exec deploy/app-base -c postgres -- bash -ec 'export PGPASSWORD=$POSTGRES_PASSWORD PGHOST=127.0.0.1 PGUSER=app; '"$1"; }

# sql: runs the statements on stdin in its database app, and prints plain rows.
# shellcheck disable=SC2016
sql() { k exec -i deploy/app-base -c postgres -- sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -XAtq -v ON_ERROR_STOP=1'; }

# step NAME: the seconds of a step in the JSON log; 0 for one that is not there.
step() {
	found=$(sed -n "s/.*\"step\":\"$1\".*\"seconds\":\([0-9.]*\).*/\1/p; s/.*\"seconds\":\([0-9.]*\).*\"step\":\"$1\".*/\1/p" "$work/log" | head -n 1)
	echo "${found:-0}"
}

# dump_and_proof: the seconds of both in the log of create.
dump_and_proof() { awk -v dump="$(step dump)" -v prove="$(step prove)" 'BEGIN { printf "%.2f\n", dump + prove }'; }

# snapshot_of REPORT: the snapshot of that report of create.
snapshot_of() { sed -n 's/^ *"volumeSnapshot": "\(.*\)".*/\1/p' "$1"; }

# delete_snapshot NAMESPACE REPORT: deletes the snapshot of that report of create; its stored data would outlive the namespace.
delete_snapshot() {
	name=$(snapshot_of "$2")
	"$ours" delete "$name" -n "$1" --yes --force >/dev/null 2>&1 || say "warning: the stored data of $name is left"
}

seconds() { median <"$work/$1.seconds"; }

# figures WHO: those of its runs.
figures() {
	echo "$(seconds "$1") s, $(median <"$work/$1.calls") kubectl processes ($(cat "$work/$1.verbs")), peak memory $(most <"$work/$1.memory") KiB and $(most <"$work/$1.child") KiB of a kubectl"
}

# pairs TIMES LABEL ARGUMENTS...: that many runs of ours, each beside one of BASE if there is one, and a call of the function
# $beside if that is set; prints the figures of both.
beside=
pairs() {
	times=$1 label=$2
	shift 2
	rm -f "$work/base".* "$work/ours".*
	for _ in $(seq "$times"); do
		[ -z "$beside" ] || "$beside"
		[ -z "$BASE" ] || run base "$BASE" "$@"
		run ours "$ours" "$@"
	done
	echo "$label (medians of $times)"
	[ -z "$BASE" ] || echo "  base: $(figures base)"
	echo "  ours: $(figures ours)"
}

# faster LIMIT: the target that our median of the last pairs is that many times shorter than that of BASE.
faster() {
	[ -z "$BASE" ] || target "times as fast as base" "$(ratio "$(seconds base)" "$(seconds ours)")" least "$1"
}

words='alpha beta gamma delta order shipped pending customer invoice paid returned express standard north south east west blue green large small gift wrapped fragile heavy light morning evening urgent late early partial'

# note WORD: an expression of eight words, each by WORD with 5 bits of h in the place of SHIFT.
note() {
	for shift in 0 5 10 15 20 25 30 35; do
		[ "$shift" = 0 ] || printf ", ' ', "
		echo "$1" | sed "s/SHIFT/$shift/" | tr -d '\n'
	done
}

# orders TABLE ROWS [FIRST]: the statement that makes a table of PostgreSQL as of orders, with numbers, a code, a time, a place and
# some words, numbered from FIRST: some 130 MB of text for a million rows.
orders() {
	cat <<-SQL
		CREATE TABLE $1 AS SELECT i, substr(md5(i::text), 1, 8) code, abs(h % 1000000) customer,
			round(abs(h % 999983) / 100.0, 2) amount, timestamptz '2026-01-01' + i * interval '13.7 seconds' placed,
			round(abs(h % 180000017) / 1e6 - 90, 6) latitude, round(abs(h % 360000023) / 1e6 - 180, 6) longitude,
			concat($(note 'w[(1 + (h >> SHIFT & 31))::int]')) note
			FROM generate_series(${3:-1}, ${3:-1} + $2 - 1) i, LATERAL (SELECT hashint8extended(i, 0) h) a,
			(SELECT string_to_array('$words', ' ') w) b;
	SQL
}

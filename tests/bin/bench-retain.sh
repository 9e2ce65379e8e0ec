#!/bin/sh
# Measures pruning on the local cluster's API server and prints figures; it judges nothing. First at 100 namespaces of 23
# snapshots: a dry run, and the same with a loop that spawns a kubectl per namespace, PVC and label as shell versions do. Then at
# NAMESPACES: a dry run, the status of all, the first run that takes labels off, a second that finds nothing to do, and the
# marking's dry run.
#
# The snapshots are objects only, with a status written here: no volume, no stored data. What would react to them is stopped
# meanwhile, so do not use the cluster for anything else until this ends.
set -eu
cd "$(dirname "$0")/../.."
small=100
large=${NAMESPACES:-1000}
runs=${RUNS:-5}
binary=$PWD/target/release/backup-ns
local=kind/local/local.sh
work=$(mktemp -d)
prefix=bench-r-$$
export TZ=UTC # of the labels made here, and of every command that reads them
silenced='kube-controller-manager snapshot-controller csi-snapshotter'
seeded=0

say() { echo "bench: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}
case $large in *[!0-9]* | '') die "NAMESPACES=$large: must be a number" ;; esac
if [ "$large" -lt "$small" ] || [ "$large" -gt 9999 ]; then die "NAMESPACES=$large: must be $small to 9999"; fi
command -v curl >/dev/null || die "curl is not in the PATH"

"$local" up
environment=$("$local" env)
eval "$environment"
real=$(command -v kubectl)
others=$("$real" get volumesnapshots -A -l backup-ns.sh/retain=daily_weekly_monthly -o name | wc -l)
[ "$others" = 0 ] || die "$others VolumeSnapshots of somebody else would be pruned with those made here; begin with a fresh cluster (make cluster-down)"

# --- Requests. kubectl sends some 130 objects a second; curl some thousand, over a connection that it keeps.

view() { "$real" config view --raw --minify -o "jsonpath={$1}"; }
view '.clusters[0].cluster.certificate-authority-data' | base64 -d >"$work/authority" # in a directory that is only ours
view '.users[0].user.client-certificate-data' | base64 -d >"$work/certificate"
view '.users[0].user.client-key-data' | base64 -d >"$work/key"
server=$(view '.clusters[0].cluster.server')
snapshots=apis/snapshot.storage.k8s.io/v1/namespaces/$prefix

# options: those of every request, as curl's configuration file takes them.
options() {
	printf '%s\n' "cacert = \"$work/authority\"" "cert = \"$work/certificate\"" \
		"key = \"$work/key\"" 'output = "/dev/null"' 'write-out = "%{http_code}\n"' \
		'header = "Accept: application/json"'
}

# send TYPE ARGUMENTS...: requests at once, one for each URL that the last argument means; a refused one fails.
send() {
	type=$1
	shift
	options >"$work/options"
	# --http1.1: over one HTTP/2 connection for all of them it is slower.
	curl --no-progress-meter --http1.1 --parallel --parallel-max 16 --config "$work/options" \
		--header "Content-Type: $type" "$@" >"$work/answers" || die "curl failed"
	! grep -v '^2..$' "$work/answers" | sort | uniq -c | grep . >&2 || die "the API server refused requests"
}

# numbers FROM TO: the range of namespaces as a URL for curl has it.
numbers() { printf -- '-[%04d-%04d]' "$1" "$2"; }

# --- Seeding.

# history DIRECTORY: 23 snapshots as their bodies and statuses: nine nights, two weeks, twelve months, labelled as `create`
# does (a slot for the first of its day, week and month), with more of every kind than is kept.
history() {
	week='' month='' number=0 newest=$(($(date +%s) - 3600))
	for days in 386 355 324 293 262 231 200 169 138 107 76 45 23 16 8 7 6 5 4 3 2 1 0; do
		number=$((number + 1))
		moment=$((newest - days * 86400))
		at() { date -u -d "@$moment" "+$1"; }
		slots="\"backup-ns.sh/daily\": \"$(at %F)\""
		[ "$week" = "$(at %G-w%V)" ] || slots="$slots, \"backup-ns.sh/weekly\": \"$(at %G-w%V)\""
		[ "$month" = "$(at %Y-%m)" ] || slots="$slots, \"backup-ns.sh/monthly\": \"$(at %Y-%m)\""
		week=$(at %G-w%V) month=$(at %Y-%m)
		name=data-$(at %F-%H%M%S)-$(printf 'bench%02d' "$number" | tr 0-9 a-j)
		content=snapcontent-$(printf '%08x-2026-4000-8000-%012x' "$number" "$moment")
		cat >"$1/$number.json" <<-JSON
			{"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": "$name",
			"labels": {"backup-ns.sh/type": "cronjob", "backup-ns.sh/pvc": "data", "backup-ns.sh/retain": "daily_weekly_monthly", $slots},
			"annotations": {"backup-ns.sh/run": "bench-$number", "backup-ns.sh/env-config": "BAK_DB_POSTGRES='true'\nBAK_LABEL_VS_RETAIN='daily_weekly_monthly'\nBAK_LABEL_VS_TYPE='cronjob'\n",
			"backup-ns.sh/dump-postgres": "{\"tool\":\"pg_dump (PostgreSQL) 15.20\",\"bytes\":4792406,\"sha256\":\"5f88c35a38ae5f0e5f88c35a38ae5f0e5f88c35a38ae5f0e5f88c35a38ae5f0e\",\"began\":\"$(at %FT%TZ)\",\"ended\":\"$(at %FT%TZ)\",\"path\":\"dump.sql.gz\"}"}},
			"spec": {"volumeSnapshotClassName": "csi-local", "source": {"persistentVolumeClaimName": "data"}}}
		JSON
		cat >"$1/$number.status" <<-JSON
			{"status": {"readyToUse": true, "creationTime": "$(at %FT%TZ)", "restoreSize": "1Gi", "boundVolumeSnapshotContentName": "$content"}}
		JSON
		echo "$name" >"$1/$number.name"
	done
}

# Namespaces without the finalizer that keeps one until the controller manager has emptied it: it would need half an hour.
# namespaces FROM TO
namespaces() {
	for request in POST PUT; do
		for number in $(seq -f %04g "$1" "$2"); do
			[ "$number" = "$(printf %04d "$1")" ] || echo next
			options
			name=$prefix-$number
			[ "$request" = POST ] && path= || path=/$name/finalize
			printf '%s\n' "url = \"$server/api/v1/namespaces$path\"" "request = $request" 'header = "Content-Type: application/json"' \
				"data = \"{\\\"apiVersion\\\": \\\"v1\\\", \\\"kind\\\": \\\"Namespace\\\", \\\"metadata\\\": {\\\"name\\\": \\\"$name\\\"}}\""
		done >"$work/namespaces"
		curl --no-progress-meter --http1.1 --parallel --parallel-max 16 --config "$work/namespaces" >"$work/answers" || die "curl failed"
		! grep -v '^2..$' "$work/answers" | sort | uniq -c | grep . >&2 || die "the API server refused namespaces"
	done
}

# seed TO: namespaces up to that number, with their snapshots.
seed() {
	[ "$seeded" -lt "$1" ] || return 0
	from=$((seeded + 1)) began=$(date +%s) tell=10
	say "seeding namespaces $from to $1"
	seeded=$1 # before the first is made, for cleaning up
	namespaces "$from" "$1"
	count=$(find "$work/history" -name '*.json' | wc -l)
	for number in $(seq "$count"); do
		url=$server/$snapshots$(numbers "$from" "$1")/volumesnapshots
		send application/json --data "@$work/history/$number.json" "$url"
		send application/merge-patch+json --request PATCH --data "@$work/history/$number.status" \
			"$url/$(cat "$work/history/$number.name")/status"
		spent=$(($(date +%s) - began))
		[ "$spent" -lt "$tell" ] && [ "$number" -lt "$count" ] && continue
		say "  $((number * ($1 - from + 1))) of $((count * ($1 - from + 1))) snapshots after $spent s"
		tell=$((spent + 10))
	done
}

clean() {
	code=$?
	trap '' INT TERM HUP
	trap - EXIT
	set +e
	if [ "$seeded" -gt 0 ]; then
		say "removing $seeded namespaces"
		for path in "$snapshots$(numbers 1 "$seeded")/volumesnapshots" \
			"api/v1/namespaces/$prefix$(numbers 1 "$seeded")" "api/v1/namespaces/$prefix$(numbers 1 "$seeded")"; do
			(send application/json --request DELETE "$server/$path") 2>/dev/null
		done
		left=$("$real" get namespaces -o name | grep -c "/$prefix-")
		[ "$left" = 0 ] || say "warning: $left namespaces $prefix-* are left"
	fi
	for component in $silenced; do "$local" start "$component"; done
	rm -rf "$work"
	exit "$code"
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Measuring.

# A kubectl that counts.
mkdir "$work/bin" "$work/history"
cat >"$work/bin/kubectl" <<COUNTING
#!/bin/sh
for word; do case \$word in get | config | label | patch | delete | auth | version) break ;; esac; done
echo "\$word" >>"$work/calls"
exec "$real" "\$@"
COUNTING
chmod +x "$work/bin/kubectl"

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
now() { date +%s%N; }
# since NANOSECONDS: seconds.
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f\n", (b - a) / 1e9 }'; }

# peak: of the process whose id comes in a file, without the kubectls that it waits for.
peak() {
	until [ -s "$work/pid" ]; do sleep 0.01; done
	read -r pid <"$work/pid"
	while sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" >"$work/now" 2>/dev/null; do
		[ ! -s "$work/now" ] || mv "$work/now" "$work/memory"
		sleep 0.05
	done
	cat "$work/memory" >>"$work/peaks"
}

# ours ARGUMENTS...: one run; its seconds, kubectl processes and peak memory go to files.
ours() {
	: >"$work/calls"
	rm -f "$work/pid"
	peak &
	watcher=$! code=0 began=$(now)
	# shellcheck disable=SC2016 # for that shell
	PATH="$work/bin:$PATH" sh -c 'echo $$ >"$0"; exec "$@"' "$work/pid" "$binary" "$@" --log-format json \
		>"$work/out" 2>"$work/log" || code=$?
	since "$began" >>"$work/seconds"
	wait "$watcher"
	[ "$code" = 0 ] || die "backup-ns $* ended with $code: $(tail -n 5 "$work/log")"
}

# counted: of a file of words, how many of each, in one line.
counted() { sort "$1" | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 }'; }

# measure TIMES NAMESPACES ARGUMENTS...: prints a line; $seconds is then the median.
measure() {
	times=$1 among=$2
	shift 2
	: >"$work/seconds"
	: >"$work/peaks"
	for _ in $(seq "$times"); do ours "$@"; done
	seconds=$(median <"$work/seconds")
	[ "$times" = 1 ] && of='' || of=" (median of $times)"
	echo "$among namespaces, $*: $seconds s$of, $(wc -l <"$work/calls") kubectl processes ($(counted "$work/calls")), peak memory $(sort -n "$work/peaks" | tail -n 1) KiB"
}

# kept SLOT: how many of them the policy keeps.
kept() { case $1 in daily) echo 7 ;; weekly) echo 4 ;; monthly) echo 12 ;; esac }

# loop: the same dry run as shell versions do it. Prints what it would take off.
loop() {
	k get volumesnapshots -A -l backup-ns.sh/retain=daily_weekly_monthly -o 'jsonpath={range .items[*]}{.metadata.namespace}{"\n"}{end}' |
		sort -u >"$work/loop-namespaces"
	while read -r namespace <&3; do
		k -n "$namespace" get volumesnapshots -l backup-ns.sh/retain=daily_weekly_monthly \
			-o 'jsonpath={range .items[*]}{.metadata.labels.backup-ns\.sh/pvc}{"\n"}{end}' | sort -u >"$work/loop-pvcs"
		while read -r pvc <&4; do
			for slot in daily weekly monthly; do
				k -n "$namespace" get volumesnapshots -l "backup-ns.sh/retain=daily_weekly_monthly,backup-ns.sh/pvc=$pvc,backup-ns.sh/$slot" \
					-o "jsonpath={range .items[*]}{.status.creationTime} {.metadata.name}{\"\\n\"}{end}" |
					sort -r | tail -n "+$(($(kept "$slot") + 1))" | cut -d ' ' -f 2 | sed "s#^#$namespace $slot #"
			done
		done 4<"$work/loop-pvcs"
	done 3<"$work/loop-namespaces"
}
k() { "$work/bin/kubectl" "$@"; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f\n", a / b }'; }

history "$work/history"
sed -n 's#.*"backup-ns.sh/retain": [^,]*, ##p' "$work"/history/*.json | grep -o '/[a-z]*"' | tr -d '/"' >"$work/slots"
for component in $silenced; do "$local" stop "$component"; done
echo "machine: $(nproc) CPUs, $(uname -sr), $("$real" version 2>/dev/null | sed -n 's/^Server Version: //p')"
echo "each namespace: $(find "$work/history" -name '*.json' | wc -l) snapshots of one PVC with $(counted "$work/slots") labels"

seed "$small"
measure "$runs" "$small" retain --dry-run -o json
at_small=$seconds
: >"$work/calls"
began=$(now)
loop >"$work/loop"
took=$(since "$began")
echo "$small namespaces, a kubectl per namespace, PVC and label: $took s, $(wc -l <"$work/calls") kubectl processes, $(wc -l <"$work/loop") labels to take off"
echo "that loop takes $(ratio "$took" "$at_small") times as long as retain --dry-run"

seed "$large"
measure "$runs" "$large" retain --dry-run -o json
echo "growth of the dry run from $small to $large namespaces: $(ratio "$seconds" "$at_small") times"
measure "$runs" "$large" status --all-namespaces -o prometheus
measure 1 "$large" retain
measure "$runs" "$large" retain
measure "$runs" "$large" mark-and-delete --dry-run

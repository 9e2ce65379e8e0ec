#!/bin/sh
# Measures pruning on the local cluster's API server. At 100, at NAMESPACES and at three times as many namespaces of 23 snapshots:
# a dry run; at NAMESPACES also the first run, which takes labels off, the status of all, and what kubectl alone needs for that
# list. Started by bench.sh.
#
# The snapshots are objects only, with a status written here: no volume, no stored data. What would react to them is stopped
# meanwhile, so do not use the cluster for anything else until this ends.
set -eu
# shellcheck source=SCRIPTDIR/bench-common.sh
. "$(dirname "$0")/bench-common.sh"
small=100
large=${NAMESPACES:-1000}
huge=$((large * 3))
local=kind/local/local.sh
prefix=bench-prune-$$
export TZ=UTC # of the labels made here, and of every command that reads them
silenced='kube-controller-manager snapshot-controller csi-snapshotter'
seeded=0
mkdir "$work/history"

case $large in *[!0-9]* | '') die "NAMESPACES=$large: must be a number" ;; esac
if [ "$large" -le "$small" ] || [ "$huge" -gt 9999 ]; then die "NAMESPACES=$large: must be more than $small, and 3333 at most"; fi
command -v curl >/dev/null || die "curl is not in the PATH"

"$local" up
others=$("$real" get volumesnapshots -A -l backup-ns.sh/retain=daily_weekly_monthly -o name | wc -l)
[ "$others" = 0 ] || die "$others other VolumeSnapshots would be pruned with those made here; begin with a fresh cluster (make cluster-down)"

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

# remove: all namespaces made here.
remove() {
	[ "$seeded" -gt 0 ] || return 0
	say "removing $seeded namespaces"
	for path in "$snapshots$(numbers 1 "$seeded")/volumesnapshots" \
		"api/v1/namespaces/$prefix$(numbers 1 "$seeded")" "api/v1/namespaces/$prefix$(numbers 1 "$seeded")"; do
		(send application/json --request DELETE "$server/$path") 2>/dev/null || :
	done
	left=$("$real" get namespaces -o name | grep -c "/$prefix-") || :
	[ "$left" = 0 ] || say "warning: $left namespaces $prefix-* are left"
	seeded=0
}

clean() {
	code=$?
	trap '' INT TERM HUP
	trap - EXIT
	set +e
	remove
	for component in $silenced; do "$local" start "$component"; done
	rm -rf "$work"
	exit "$code"
}
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Measuring.

# dry_run TIMES: at the present number of namespaces; says how long each of them takes.
dry_run() {
	pairs "$1" "retain --dry-run over $seeded namespaces" retain --dry-run -o json
	awk -v s="$(seconds ours)" -v n="$seeded" 'BEGIN { printf "  ours: %.2f ms a namespace\n", s * 1000 / n }'
}

# limits: the targets that hold for memory and processes.
limits() {
	target "MiB of peak memory" "$(most <"$work/ours.memory" | awk '{ printf "%.1f", $1 / 1024 }')" most 50
	target "kubectl processes" "$(most <"$work/ours.calls")" most 8
}

# first_run WHO BINARY: a run over all of them that takes labels off; the figures of one, as there are no labels for a second.
first_run() {
	rm -f "$work/$1".*
	run "$1" "$2" retain
	echo "  $1: $(figures "$1")"
}

# raw_list: the seconds that kubectl alone needs for that list, unpaged.
raw_list() {
	began=$(now)
	"$real" get --raw '/apis/snapshot.storage.k8s.io/v1/volumesnapshots?labelSelector=backup-ns.sh%2Fretain%3Ddaily_weekly_monthly' >"$work/raw"
	since "$began" >>"$work/raw.seconds"
}

history "$work/history"
sed -n 's#.*"backup-ns.sh/retain": [^,]*, ##p' "$work"/history/*.json | grep -o '/[a-z]*"' | tr -d '/"' >"$work/slots"
for component in $silenced; do "$local" stop "$component"; done
echo "pruning, each namespace with $(find "$work/history" -name '*.json' | wc -l) snapshots of one PVC with $(counted "$work/slots") labels"

surplus=$(sort "$work/slots" | uniq -c | awk '{ kept["daily"] = 7; kept["weekly"] = 4; kept["monthly"] = 12; all += $1 - kept[$2] } END { print all }')

seed "$small"
dry_run "$RUNS"
at_small=$(seconds ours)
remove

seed "$large"
beside=raw_list
dry_run "$RUNS"
beside=
at_large=$(seconds ours)
echo "  kubectl get --raw of that list: $(seconds raw) s, $(($(wc -c <"$work/raw") / 1000000)) MB"
faster 3
target "times as long as kubectl get --raw" "$(ratio "$at_large" "$(seconds raw)")" most 1.6
limits
pairs "$RUNS" "status -A -o prometheus over $large namespaces" status --all-namespaces -o prometheus
faster 2.8
limits
pairs 1 "mark-and-delete --dry-run over $large namespaces" mark-and-delete --dry-run

echo "first retain over $large namespaces, which takes $((large * surplus)) labels off (one run each, on a fresh seeding)"
if [ -n "$BASE" ]; then
	first_run base "$BASE"
	remove
	seed "$large"
fi
first_run ours "$ours"
faster 3

seed "$huge"
(BASE='' dry_run "$RUNS")
at_huge=$(seconds ours)
echo "growth of the dry run: $(ratio "$at_large" "$at_small") times as long for $(ratio "$large" "$small") times the namespaces, then $(ratio "$at_huge" "$at_large") for $(ratio "$huge" "$large")"

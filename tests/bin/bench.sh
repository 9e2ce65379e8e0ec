#!/bin/sh
# Measures on the cluster, and prints figures: ours, those of an older binary, and those of the bare tools, from one run.
# Beside each target it prints "met" or "missed"; its exit status says only whether it could measure.
#   BASE=/path/to/backup-ns  the older binary; each of our runs is then paired with one of it
#   ONLY=dump|schemas|table|prune|doctor|export   that part alone
#   RUNS=5                   how many runs each median is of
#   NAMESPACES=1000          how many are pruned
set -eu
cd "$(dirname "$0")/../.."
export BASE="${BASE-}" RUNS="${RUNS:-5}"

die() {
	echo "bench: error: $*" >&2
	exit 2
}
if [ -n "$BASE" ] && ! { [ -f "$BASE" ] && [ -x "$BASE" ]; }; then die "BASE=$BASE: must be the path of a program"; fi
case $RUNS in *[!0-9]* | '' | 0) die "RUNS=$RUNS: must be a number from 1" ;; esac
case ${ONLY-} in
'') parts='dump schemas table doctor prune export' ;;
dump | schemas | table | doctor | prune | export) parts=$ONLY ;;
*) die "ONLY=$ONLY: must be dump, schemas, table, doctor, prune or export" ;;
esac

kind/cluster.sh up >/dev/null
environment=$(kind/cluster.sh env)
eval "$environment"
binary=target/release/backup-ns
echo "machine: $(nproc) CPUs, $(uname -sr), $(kubectl version 2>/dev/null | sed -n 's/^Server Version: //p'), load $(cut -d ' ' -f 1-3 /proc/loadavg)"
echo "ours: $("$binary" --version), $(wc -c <"$binary") bytes, SHA-256 $(sha256sum "$binary" | cut -c 1-16)"
[ -z "$BASE" ] || echo "base: $("$BASE" --version), $(wc -c <"$BASE") bytes, SHA-256 $(sha256sum "$BASE" | cut -c 1-16)"
for part in $parts; do "tests/bin/bench-$part.sh"; done

#!/bin/sh
# Measures `doctor` on a sound namespace. Started by bench.sh.
set -eu
# shellcheck source=SCRIPTDIR/bench-common.sh
. "$(dirname "$0")/bench-common.sh"
namespace=bench-doctor-$$
trap 'rm -rf "$work"; "$real" delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null' EXIT
trap 'exit 1' HUP INT TERM

"$real" create namespace "$namespace" >/dev/null
"$real" -n "$namespace" apply -f kind/demo/postgres.yaml >/dev/null
"$real" -n "$namespace" rollout status deployment/app-base --timeout=180s >/dev/null
run once "$ours" create -n "$namespace" --db-postgres -o json
cp "$work/out" "$work/created"
pairs "$RUNS" "doctor on a sound namespace" doctor -n "$namespace" --db-postgres
faster 2
delete_snapshot "$namespace" "$work/created"

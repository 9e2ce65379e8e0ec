#!/bin/sh
# The tests that take long: those with a fake kubectl and on real database servers, beside those on the cluster, which mostly wait.
set -eu
cd "$(dirname "$0")/../.."

log=target/slow-tests.log
mkdir -p target
cargo test --locked --test scripts --test fake -- --ignored >"$log" 2>&1 &
beside=$! failed=
tests/bin/cluster.sh || failed=yes
wait "$beside" || failed=yes
cat "$log"
[ -z "$failed" ]

#!/bin/sh
# The tests that take long: those with a fake kubectl and on real database servers, beside those on the cluster, which mostly wait.
set -eu
cd "$(dirname "$0")/../.."

mkdir -p target
# A test writes here when this machine cannot have its database server, or a kubectl. The last lines of the output name it.
left_out=target/left-out.txt
rm -f "$left_out"
name_left_out() {
	[ -s "$left_out" ] || return 0
	{
		echo
		echo "##################################################################################"
		echo "These tests were LEFT OUT, because what they need cannot be had here:"
		sed 's/^/  /' "$left_out"
		echo "##################################################################################"
	} >&2
}
trap name_left_out EXIT
log=target/slow-tests.log
{
	cargo build --locked --examples
	cargo test --locked --test fake -- --include-ignored
	cargo test --locked --test scripts -- --ignored
} >"$log" 2>&1 &
beside=$! failed=
tests/bin/cluster.sh || failed=yes
wait "$beside" || failed=yes
cat "$log"
[ -z "$failed" ] || exit 1
tests/bin/cluster-away.sh

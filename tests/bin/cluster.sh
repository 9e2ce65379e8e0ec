#!/bin/sh
# Brings a cluster up and runs the tests that need one. Where none can be had, it says which tests are left out, and
# fails under CI=true.
set -eu
cd "$(dirname "$0")/../.."

if ! kind/cluster.sh up; then
	{
		echo
		echo "##################################################################################"
		echo "NO CLUSTER: these tests were LEFT OUT, for the reason above:"
		cargo test --locked --quiet --bin backup-ns --test cluster -- --ignored --list 2>/dev/null |
			sed -n 's/: test$//; /^[a-z]/s/^/  /p'
		echo "##################################################################################"
	} >&2
	[ "${CI-}" != true ]
	exit
fi
environment=$(kind/cluster.sh env)
eval "$environment"
# What users install is tested as they install it: by Helm, with the image of the Dockerfile.
tools=$(tests/bin/tools.sh)
PATH=$tools:$PATH
kind/image.sh load >/dev/null ||
	echo "cluster: the tests of what runs in pods will fail, unless the image is there already" >&2
# Two at a time, because most of a test's time is waiting. Those that stop parts of the cluster wait to be alone.
# One takes the cluster away: tests/bin/cluster-away.sh.
cargo test --locked --test cluster -- --ignored --test-threads=2 --skip a_lost_cluster_comes_back
# With a kubectl of each minor.
cargo test --locked --bin backup-ns -- --ignored

#!/bin/sh
# The tests that take the local cluster away, and look whether anything of it is left then; nothing for another cluster.
set -eu
cd "$(dirname "$0")/../.."

environment=$(kind/cluster.sh env) || exit 0
eval "$environment"
case $KUBECONFIG in
/var/lib/backup-ns-cluster/*)
	cargo test --locked --test cluster -- --ignored a_lost_cluster_comes_back
	kind/local/test.sh
	;;
esac

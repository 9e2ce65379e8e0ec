#!/bin/sh
# The one entrance to a test cluster; the Makefile's cluster-up and cluster-down call it.
# It chooses which kind of cluster this machine can have, and passes the command on.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
usage='usage: cluster.sh up | down | status | kubeconfig | env | load ARCHIVE | image IMAGE
  up          a cluster that works, unless there is one; says how to point kubectl at it
  down        remove it, with everything in it
  status      what runs; exit code 0 when the cluster can be used
  kubeconfig  only the path of its kubeconfig
  env         shell lines to eval: KUBECONFIG, and PATH where kubectl came with the cluster
  load        the images of an archive, as docker save writes it, for pods of the cluster
  image       one more image for pods of the cluster: a newer database server, or what the tests of export need (kind/README.md
              has the list); exit code 4 when it cannot be had'

die() {
	echo "cluster: error: $*" >&2
	exit 1
}

docker_runs() { command -v docker >/dev/null && command -v kind >/dev/null && docker info >/dev/null 2>&1; }

# Prints which kind of cluster it is to be: given, docker or local.
choose() {
	if [ -n "${CLUSTER_KUBECONFIG-}" ]; then
		echo given
	elif [ -n "${CLUSTER_KIND-}" ]; then
		case $CLUSTER_KIND in
		local | docker) echo "$CLUSTER_KIND" ;;
		*) die "CLUSTER_KIND=$CLUSTER_KIND: must be local or docker" ;;
		esac
	elif docker_runs; then
		echo docker
	elif [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; then
		echo local
	else
		die 'no cluster can be had here. One of these is needed:
  - CLUSTER_KUBECONFIG=/path/to/kubeconfig of a cluster you declare disposable
  - a running Docker engine, with kind and kubectl in PATH
  - Linux, as root (kind/local: a cluster without Docker)'
	fi
}

# The same commands for a cluster that this script neither makes nor removes.
given() {
	case $1 in
	up | status)
		[ -r "$CLUSTER_KUBECONFIG" ] || die "CLUSTER_KUBECONFIG=$CLUSTER_KUBECONFIG cannot be read"
		kubectl --kubeconfig "$CLUSTER_KUBECONFIG" --request-timeout=10s get --raw /readyz >/dev/null ||
			die "the cluster of CLUSTER_KUBECONFIG=$CLUSTER_KUBECONFIG does not answer"
		echo "cluster: using the one of $CLUSTER_KUBECONFIG as it is" >&2
		;;
	down) echo "cluster: $CLUSTER_KUBECONFIG is not ours to remove; left as it is" >&2 ;;
	kubeconfig) echo "$CLUSTER_KUBECONFIG" ;;
	load) die "no image can be loaded into the cluster of CLUSTER_KUBECONFIG; push $2 to a registry that it pulls from" ;;
	image)
		# It pulls them itself, but for those that are in no registry.
		case $2 in backup-ns/*) exit 4 ;; esac
		;;
	env) echo "export KUBECONFIG='$CLUSTER_KUBECONFIG'" ;;
	esac
}

case ${1-} in
up | down | status | kubeconfig | env) [ "$#" = 1 ] || die "$usage" ;;
load | image) [ "$#" = 2 ] || die "$usage" ;;
*) die "$usage" ;;
esac
kind=$(choose)
case $kind in
given) pass() { given "$@"; } ;;
docker) pass() { "$here/docker.sh" "$@"; } ;;
local) pass() { "$here/local/local.sh" "$@"; } ;;
esac

pass "$@"
[ "$1" != up ] || {
	echo
	echo "# The cluster is up. To use it from this shell:"
	pass env
	echo "# or: eval \"\$(kind/cluster.sh env)\""
}

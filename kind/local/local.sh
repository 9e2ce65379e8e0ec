#!/bin/sh
# The local cluster: a real single-node Kubernetes with CSI snapshots, on Linux as root, without
# Docker. See kind/README.md; settings.sh has the names and places.
set -eu
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
say() { echo "cluster: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}
# shellcheck source=SCRIPTDIR/settings.sh
. "$here/settings.sh"
# shellcheck source=SCRIPTDIR/build.sh
. "$here/build.sh"
# shellcheck source=SCRIPTDIR/more_images.sh
. "$here/more_images.sh"
# shellcheck source=SCRIPTDIR/node.sh
. "$here/node.sh"
# shellcheck source=SCRIPTDIR/components.sh
. "$here/components.sh"

usage="usage: local.sh build | up | down | status | kubeconfig | env | load ARCHIVE | image IMAGE | stop COMPONENT | start COMPONENT | clean
  build   compile the programs and make the images, once, into the cache (up does it too)
  up      a fresh cluster, unless one runs and is whole; whatever a crash left is cleared first
  down    end it and remove every trace but the cache
  status  what runs; exit code 0 when the cluster can be used
  load    import the images of an archive
  image   have one more image: $MORE_IMAGES;
          exit code 4 when this machine cannot have it
  stop    KILL one component; start it again with the same arguments by start (after the API server those that watch it
          start anew, too, and after the CSI driver its sidecars)
  clean   down, and remove the cache"

# One up, down, start or stop at a time on this machine.
locked() {
	mkdir -p /run/lock
	exec 9>/run/lock/backup-ns-cluster.lock
	flock 9
}

# A running cluster goes on with the programs it was started with, whatever this checkout has.
running_programs() { [ ! -d "$STATE/bin/" ] || BIN=$(readlink "$STATE/bin"); }

whole() {
	for component in $COMPONENTS; do
		pid_of "$component" >/dev/null || return 1
	done
	healthy kube-apiserver && node_ready
}

restart() {
	for component; do
		stop_component "$component"
		start_component "$component"
	done
	await "$@"
}

import_images() {
	await containerd
	import_image "$BIN/pause.tar"
	import_image "$IMAGES/images.tar"
}

import_image() {
	"$BIN/ctr" --address "$CONTAINERD_SOCKET" --namespace k8s.io images import "$1" >>"$LOG/import.log" 2>&1 ||
		die "importing $1 failed: $(tail -n 3 "$LOG/import.log")"
}

up() {
	if (running_programs && whole); then
		say "is up"
		return
	fi
	need_packages_to_run
	built || build
	began=$(date +%s)
	say "clearing what is left of an earlier one"
	clear_node
	say "starting"
	prepare_node
	write_configuration
	start_component containerd
	import_images 9>&- &
	import=$!
	make_certificates >"$LOG/kubeadm.log" 2>&1 || die "certificates: $(tail -n 3 "$LOG/kubeadm.log")"
	start_component etcd
	start_component kube-apiserver
	await kube-apiserver
	{ k apply -f "$BIN/crds.yaml" && k wait --for=condition=Established --timeout=60s -f "$BIN/crds.yaml"; } >"$LOG/apply.log" 2>&1 ||
		die "$(tail -n 3 "$LOG/apply.log")"
	# A kind that is established is served a moment later.
	tries=0
	until k apply -f "$here/manifests.yaml" >>"$LOG/apply.log" 2>&1; do
		tries=$((tries + 1))
		[ "$tries" -lt 50 ] || die "$(tail -n 3 "$LOG/apply.log")"
		sleep 0.2
	done
	for component in kube-controller-manager kube-scheduler kubelet csi-driver; do
		start_component "$component"
	done
	await csi-driver
	for component in snapshot-controller csi-snapshotter csi-provisioner; do
		start_component "$component"
	done
	wait "$import" || die "the images could not be imported"
	# shellcheck disable=SC2086
	await $COMPONENTS
	until k get serviceaccount default >/dev/null 2>&1; do sleep 0.2; done
	say "up after $(($(date +%s) - began)) s"
}

environment() {
	echo "export KUBECONFIG=$KUBECONFIG_FILE"
	echo "export PATH=$STATE/bin/path:\$PATH"
}

status() {
	code=0
	for component in $COMPONENTS; do
		if ! pid=$(pid_of "$component"); then
			state=stopped code=1
		elif healthy "$component"; then
			state="running, process $pid"
		else
			state="running, process $pid, but not healthy" code=1
		fi
		printf '%-24s %s\n' "$component" "$state"
	done
	return "$code"
}

[ "$#" -gt 0 ] || die "$usage"
[ "$(id -u)" = 0 ] || die "must be root"
case $1 in
build) build ;;
compile) compile "$2" ;; # build's own, in a process group that can be ended as a whole
up)
	locked
	up
	;;
down)
	locked
	clear_node
	say "down"
	;;
status)
	running_programs
	status
	;;
kubeconfig) echo "$KUBECONFIG_FILE" ;;
env) environment ;;
load)
	[ "$#" = 2 ] || die "$usage"
	running_programs
	import_image "$2"
	;;
image)
	[ "$#" = 2 ] || die "$usage"
	running_programs
	have_image "$2"
	;;
stop | start)
	[ "$#" = 2 ] || die "$usage"
	locked
	running_programs
	case " $COMPONENTS " in *" $2 "*) ;; *) die "no such component: $2 (one of: $COMPONENTS)" ;; esac
	if [ "$1" = stop ]; then
		stop_component "$2"
	elif ! pid_of "$2" >/dev/null; then
		start_component "$2"
		await "$2"
		# shellcheck disable=SC2086
		case $2 in
		# A watch begins anew with it, as that of a controller does that lost its lease: left alone, a watch is taken up again
		# only after a pause that grows to minutes, and may then hang.
		kube-apiserver) restart $WATCHERS ;;
		# These end when they next call a driver that is gone.
		csi-driver) restart $SIDECARS ;;
		esac
	fi
	;;
clean)
	locked
	clear_node
	rm -rf "$CACHE"
	;;
*) die "$usage" ;;
esac

#!/bin/sh
# Test of the local cluster itself: that up and down can be repeated, survive a crash, and leave
# nothing behind. Removes a cluster that runs, and ends with none. A minute and a half once built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
die() {
	echo "FAILED: $*" >&2
	exit 1
}
# shellcheck source=SCRIPTDIR/settings.sh
. "$here/settings.sh"
# shellcheck source=SCRIPTDIR/node.sh
. "$here/node.sh"
local_sh() { "$here/local.sh" "$@" </dev/null; }
step() { echo "test: $*"; }

# All that a cluster could leave on the machine, in a form that can be compared.
inventory() {
	echo '# processes' && our_processes && pod_processes
	echo '# mounts' && awk '{ print $5 }' /proc/self/mountinfo | sort
	echo '# loop devices' && losetup --list --noheadings --output BACK-FILE | sort
	echo '# links' && ip -o link show | sed 's/^[0-9]*: \([^:]*\):.*/\1/' | sort
	echo '# addresses' && ip -o address show | awk '{ print $2, $4 }' | sort
	echo '# routes' && ip route show
	echo '# network namespaces' && ip netns list
	echo '# iptables' && if command -v iptables-save >/dev/null; then iptables-save | sed '/^#/d; s/\[[0-9:]*\]//'; fi
	echo '# forwarding' && cat /proc/sys/net/ipv4/ip_forward
	echo '# cgroups' && find /sys/fs/cgroup \( -name 'kubepods*' -o -name "$CGROUP" \) | sort
	echo '# places' && for place in "$STATE" "$RUN" /var/lib/kubelet /var/lib/cni /var/log/containers /var/log/pods \
		/run/containerd /run/netns /opt/containerd /opt/cni /etc/cni; do
		if [ -e "$place" ]; then find "$place" -maxdepth 1; fi
	done | sort
}

same() {
	inventory >"$work/after"
	diff "$work/before" "$work/after" || die "$1 left this behind, or took it away"
}

# Something of everything: a pod with a volume, a process, an interface, and a snapshot.
workload() { populate "$1" >"$work/workload.log" 2>&1 || die "workload: $(tail -n 3 "$work/workload.log")"; }
populate() (
	set -e
	kubectl create namespace "$1"
	kubectl -n "$1" apply -f "$here/../demo/postgres.yaml"
	kubectl -n "$1" rollout status deployment/app-base --timeout=120s
	kubectl -n "$1" apply -f - <<-END
		apiVersion: snapshot.storage.k8s.io/v1
		kind: VolumeSnapshot
		metadata: {name: one}
		spec: {source: {persistentVolumeClaimName: data}}
	END
	kubectl -n "$1" wait volumesnapshot/one --for='jsonpath={.status.readyToUse}=true' --timeout=60s
)

timed() {
	began=$(date +%s)
	local_sh "$@"
	took=$(($(date +%s) - began))
	echo "test: $* took $took s"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
eval "$(local_sh env)"

step 'nothing there'
local_sh build
local_sh down
inventory >"$work/before"
! local_sh status >/dev/null || die "status says that a cluster runs where none does"

step 'up, with a workload; up again; down; down again'
timed up
workload one
cat "$RUN"/*.pid >"$work/pids"
timed up
cat "$RUN"/*.pid | cmp -s - "$work/pids" || die "up on a running cluster started something anew"
kubectl -n one get volumesnapshot one >/dev/null
timed down
same down
timed down
same 'the second down'

step 'a crash (all killed, process ids and sockets lost), then up'
local_sh up
workload two
our_processes | xargs kill -KILL
rm -f "$RUN"/*.pid "$RUN"/*.sock
timed up
workload three

step 'each component killed and started again'
for component in $COMPONENTS; do
	local_sh stop "$component"
	! local_sh status >/dev/null || die "status is well without $component"
	timed start "$component"
done
local_sh status
workload four

step 'down'
timed down
same 'down after a crash'
echo 'test: passed'

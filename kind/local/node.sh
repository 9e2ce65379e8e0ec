# shellcheck shell=sh
# What the cluster needs of the machine (address, cgroups, mounts) and taking every trace of it
# away again, whatever state it is in. Sourced by local.sh.

cgroup_parents() {
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		echo /sys/fs/cgroup
	else
		find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d
	fi
}

prepare_node() {
	for module in loop overlay xfs; do
		modprobe -q "$module" 2>/dev/null || true
	done
	mkdir -p "$STATE" "$RUN" "$LOG" "$PKI" "$CONF" "$CSI_MOUNT" "$KUBELET"
	ln -s "$BIN" "$STATE/bin"
	cat /proc/sys/net/ipv4/ip_forward >"$STATE/ip_forward" # the bridge plugin turns it on
	ip address add "$NODE_IP/32" dev lo || die "cannot have the address $NODE_IP"

	for parent in $(cgroup_parents); do
		mkdir "$parent/$CGROUP"
		# A v1 cpuset has to be given its CPUs; in v2 the root hands its controllers down.
		for file in cpuset.cpus cpuset.mems; do
			[ ! -e "$parent/cpuset.cpu_exclusive" ] || cat "$parent/$file" >"$parent/$CGROUP/$file"
		done
		[ ! -e "$parent/cgroup.controllers" ] || sed 's/[^ ][^ ]*/+&/g' "$parent/cgroup.controllers" >"$parent/cgroup.subtree_control" || true
	done

	truncate -s "$CSI_SIZE" "$STATE/csi.xfs"
	mkfs.xfs -q -m reflink=1 "$STATE/csi.xfs"
	mount -o loop "$STATE/csi.xfs" "$CSI_MOUNT" || die "this kernel cannot mount XFS, which the volumes need"
}

# Ids of processes that run one of our programs on this cluster's directories; pid files may be
# gone (/run does not survive a reboot, and shims never had one).
our_processes() {
	# shellcheck disable=SC2013
	for file in $(grep -lE "$STATE|$RUN" /proc/[0-9]*/cmdline 2>/dev/null); do
		pid=${file#/proc/}
		pid=${pid%/cmdline}
		case $(readlink "/proc/$pid/exe" 2>/dev/null) in
		*/backup-ns/cluster/bin-*/path/*) ;;
		*/backup-ns/cluster/bin-*) echo "$pid" ;;
		esac
	done
}

pod_processes() {
	for parent in $(cgroup_parents); do
		[ ! -d "$parent/$CGROUP" ] || find "$parent/$CGROUP" -name cgroup.procs -exec cat {} + 2>/dev/null || true
	done | sort -u
}

our_mounts() { awk -v state="$STATE/" -v run="$RUN/" 'index($5, state) == 1 || index($5, run) == 1 { print $5 }' /proc/self/mountinfo; }
our_loops() { losetup --list --noheadings --output NAME,BACK-FILE 2>/dev/null | awk -v state="$STATE/" 'index($2, state) == 1 { print $1 }'; }

# kill_all LISTER: KILLs until the lister finds nothing more.
kill_all() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		pids=$("$1")
		[ -n "$pids" ] || return 0
		# shellcheck disable=SC2086
		kill -KILL $pids 2>/dev/null || true
		sleep 0.1
	done
	die "cannot end these processes: $(echo "$pids" | tr '\n' ' ')"
}

# Also the way up begins with it: nothing of an earlier run is ever taken over.
clear_node() {
	kill_all our_processes
	kill_all pod_processes

	# A driver that was killed in the middle of a group snapshot leaves volumes frozen: umount succeeds, and the loop device stays.
	our_mounts | grep "^$KUBELET/plugins/" | while read -r path; do
		fsfreeze --unfreeze "$path" 2>/dev/null || true
	done
	for _ in 1 2 3; do
		our_mounts | sort -r | while read -r path; do
			umount "$path" 2>/dev/null || umount -l "$path" 2>/dev/null || true
		done
		[ -n "$(our_mounts)" ] || break
	done
	our_loops | while read -r loop; do
		losetup -d "$loop" 2>/dev/null || true
	done

	ip -o link show master "$BRIDGE" 2>/dev/null | sed 's/^[0-9]*: \([^@:]*\).*/\1/' | while read -r link; do
		ip link delete "$link" 2>/dev/null || true
	done
	ip link delete "$BRIDGE" 2>/dev/null || true
	ip address delete "$NODE_IP/32" dev lo 2>/dev/null || true
	[ ! -s "$STATE/ip_forward" ] || cat "$STATE/ip_forward" >/proc/sys/net/ipv4/ip_forward

	for parent in $(cgroup_parents); do
		[ ! -d "$parent/$CGROUP" ] || find "$parent/$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done

	# What programs keep outside of our directories, whatever they are told.
	rm -f /var/lib/cni/results/backup-ns-* /var/lib/kubelet/device-plugins/kubelet.sock
	find /var/log/containers -lname "$STATE/*" -delete 2>/dev/null || true
	for dir in /var/lib/cni/results /var/lib/cni /var/log/containers /var/lib/kubelet/device-plugins /var/lib/kubelet; do
		rmdir "$dir" 2>/dev/null || true
	done

	[ -z "$(our_mounts)" ] || die "still mounted: $(our_mounts | tr '\n' ' ')"
	rm -rf "$STATE" "$RUN"
}

# shellcheck shell=sh
# The cluster's programs: their configuration files, their command lines, how each is started,
# asked for its health, and killed. Sourced by local.sh.

write_configuration() {
	cat >"$CONF/kubeadm.yaml" <<-END
		apiVersion: kubeadm.k8s.io/v1beta4
		kind: InitConfiguration
		localAPIEndpoint: {advertiseAddress: $NODE_IP, bindPort: 443}
		nodeRegistration: {name: $NODE, criSocket: "unix://$CONTAINERD_SOCKET"}
		---
		apiVersion: kubeadm.k8s.io/v1beta4
		kind: ClusterConfiguration
		kubernetesVersion: $KUBERNETES_VERSION
		clusterName: backup-ns
		certificatesDir: $PKI
		encryptionAlgorithm: ECDSA-P256
		networking: {serviceSubnet: $SERVICE_CIDR, podSubnet: $POD_CIDR}
	END
	cat >"$CONF/audit.yaml" <<-END
		apiVersion: audit.k8s.io/v1
		kind: Policy
		omitStages: [RequestReceived]
		rules: [{level: Metadata}]
	END
	mkdir -p "$CONF/cni"
	cat >"$CONF/cni/10-backup-ns.conflist" <<-END
		{"cniVersion": "1.0.0", "name": "backup-ns", "plugins": [{
		  "type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "ipMasq": false, "hairpinMode": true,
		  "ipam": {"type": "host-local", "dataDir": "$STATE/cni", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}
		}]}
	END
	# Without CAP_SYS_RESOURCE no process can be given a better OOM score than its parent has, and
	# runc dies trying. The capability is bit 24 of the mask.
	restrict=false
	effective=$(sed -n 's/^CapEff:\t//p' /proc/self/status)
	[ $((0x$effective >> 24 & 1)) = 1 ] || restrict=true
	cat >"$CONF/containerd.toml" <<-END
		version = 3
		root = "$STATE/containerd"
		state = "$RUN/containerd"
		disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
		  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
		  "io.containerd.differ.v1.erofs", "io.containerd.tracing.processor.v1.otlp"]
		[grpc]
		  address = "$CONTAINERD_SOCKET"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$STATE/opt"
		[plugins."io.containerd.shim.v1.manager"]
		  socket_dir = "$RUN/s"
		[plugins."io.containerd.cri.v1.images"]
		  snapshotter = "overlayfs"
		[plugins."io.containerd.cri.v1.images".pinned_images]
		  sandbox = "docker.io/backup-ns/pause:1"
		[plugins."io.containerd.cri.v1.runtime"]
		  restrict_oom_score_adj = $restrict
		  netns_mounts_under_state_dir = true
		  disable_apparmor = true
		[plugins."io.containerd.cri.v1.runtime".cni]
		  bin_dirs = ["/usr/lib/cni"]
		  conf_dir = "$CONF/cni"
		  use_internal_loopback = true
		[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
		  runtime_type = "io.containerd.runc.v2"
		[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
		  Root = "$RUN/runc"
	END
	cat >"$CONF/kubelet.yaml" <<-END
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $NODE_IP
		healthzPort: 0
		nodeStatusUpdateFrequency: 2s
		containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
		authentication:
		  anonymous: {enabled: false}
		  webhook: {enabled: true}
		  x509: {clientCAFile: $PKI/ca.crt}
		authorization: {mode: Webhook}
		clusterDNS: [10.96.0.10]
		clusterDomain: cluster.local
		cgroupDriver: cgroupfs
		cgroupRoot: /$CGROUP
		enforceNodeAllocatable: []
		failCgroupV1: false
		failSwapOn: false
		makeIPTablesUtilChains: false
		oomScoreAdj: 0
		imageGCHighThresholdPercent: 100
		evictionHard: {memory.available: 1%, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
		podLogsDir: $STATE/pod-logs
		volumePluginDir: $STATE/volume-plugins
		kubeAPIQPS: 100
		kubeAPIBurst: 200
	END
}

make_certificates() {
	"$BIN/kubeadm" init phase certs all --config "$CONF/kubeadm.yaml"
	for who in super-admin controller-manager scheduler kubelet; do
		"$BIN/kubeadm" init phase kubeconfig "$who" --config "$CONF/kubeadm.yaml" --kubeconfig-dir "$CONF"
	done
	mv "$CONF/super-admin.conf" "$KUBECONFIG_FILE"
}

# launch COMPONENT PROGRAM ARGUMENTS...: in the background, in a session of its own, with none of the caller's files: a lock
# that the caller holds would be held as long as the component runs.
launch() {
	launched=$1
	shift
	setsid "$@" </dev/null >>"$LOG/$launched.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
	echo "$! $(start_time $!)" >"$RUN/$launched.pid"
}

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# pid_of COMPONENT: its process id, if that is still the process which was started.
pid_of() {
	[ -s "$RUN/$1.pid" ] && read -r pid started <"$RUN/$1.pid" &&
		[ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

start_component() {
	case $1 in
	etcd)
		launch etcd "$BIN/etcd" --name "$NODE" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
			--watch-progress-notify-interval 5s \
			--listen-client-urls "https://127.0.0.1:$ETCD_PORT" --advertise-client-urls "https://127.0.0.1:$ETCD_PORT" \
			--listen-peer-urls "https://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "https://127.0.0.1:$ETCD_PEER_PORT" \
			--initial-cluster "$NODE=https://127.0.0.1:$ETCD_PEER_PORT" --listen-metrics-urls "http://127.0.0.1:$ETCD_HEALTH_PORT" \
			--client-cert-auth --trusted-ca-file "$PKI/etcd/ca.crt" --cert-file "$PKI/etcd/server.crt" --key-file "$PKI/etcd/server.key" \
			--peer-client-cert-auth --peer-trusted-ca-file "$PKI/etcd/ca.crt" --peer-cert-file "$PKI/etcd/peer.crt" --peer-key-file "$PKI/etcd/peer.key"
		;;
	containerd)
		PATH=$BIN:$PATH launch containerd "$BIN/containerd" --config "$CONF/containerd.toml" --log-level warn
		;;
	kube-apiserver)
		launch kube-apiserver "$BIN/kube-apiserver" --bind-address "$NODE_IP" --advertise-address "$NODE_IP" --secure-port 443 \
			--etcd-servers "https://127.0.0.1:$ETCD_PORT" --etcd-cafile "$PKI/etcd/ca.crt" \
			--etcd-certfile "$PKI/apiserver-etcd-client.crt" --etcd-keyfile "$PKI/apiserver-etcd-client.key" \
			--client-ca-file "$PKI/ca.crt" --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" \
			--kubelet-client-certificate "$PKI/apiserver-kubelet-client.crt" --kubelet-client-key "$PKI/apiserver-kubelet-client.key" \
			--kubelet-preferred-address-types InternalIP --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
			--service-account-issuer https://kubernetes.default.svc.cluster.local --service-account-key-file "$PKI/sa.pub" \
			--service-account-signing-key-file "$PKI/sa.key" --service-cluster-ip-range "$SERVICE_CIDR" --allow-privileged=true \
			--audit-policy-file "$CONF/audit.yaml" --audit-log-path "$STATE/audit.log" --audit-log-maxsize 1000
		;;
	kube-controller-manager)
		launch kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig "$CONF/controller-manager.conf" \
			--bind-address 127.0.0.1 --secure-port "$CONTROLLER_MANAGER_PORT" --leader-elect=false \
			--cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" --root-ca-file "$PKI/ca.crt" \
			--service-account-private-key-file "$PKI/sa.key" --use-service-account-credentials \
			--kube-api-qps 100 --kube-api-burst 200 --pvclaimbinder-sync-period 2s --flex-volume-plugin-dir "$STATE/volume-plugins"
		;;
	kube-scheduler)
		launch kube-scheduler "$BIN/kube-scheduler" --kubeconfig "$CONF/scheduler.conf" --leader-elect=false \
			--bind-address 127.0.0.1 --secure-port "$SCHEDULER_PORT"
		;;
	kubelet)
		launch kubelet "$BIN/kubelet" --config "$CONF/kubelet.yaml" --kubeconfig "$CONF/kubelet.conf" --root-dir "$KUBELET" \
			--cert-dir "$PKI/kubelet" --hostname-override "$NODE" --node-ip "$NODE_IP"
		;;
	csi-driver)
		launch csi-driver "$BIN/csi-driver" -name "$DRIVER" -node "$NODE" -dir "$CSI_MOUNT" -socket "$CSI_SOCKET" \
			-registry "$KUBELET/plugins_registry"
		;;
	snapshot-controller)
		launch snapshot-controller "$BIN/snapshot-controller" --kubeconfig "$KUBECONFIG_FILE" --leader-election=false \
			--retry-interval-start 500ms --retry-interval-max 2s --kube-api-qps 100 --kube-api-burst 200 \
			--feature-gates CSIVolumeGroupSnapshot=true --http-endpoint "127.0.0.1:$SNAPSHOT_CONTROLLER_PORT"
		;;
	csi-snapshotter)
		launch csi-snapshotter "$BIN/csi-snapshotter" --csi-address "$CSI_SOCKET" --kubeconfig "$KUBECONFIG_FILE" --leader-election=false \
			--retry-interval-start 500ms --retry-interval-max 2s --kube-api-qps 100 --kube-api-burst 200 --timeout 300s \
			--feature-gates CSIVolumeGroupSnapshot=true --http-endpoint "127.0.0.1:$SNAPSHOTTER_PORT"
		;;
	csi-provisioner)
		launch csi-provisioner "$BIN/csi-provisioner" --csi-address "$CSI_SOCKET" --kubeconfig "$KUBECONFIG_FILE" --leader-election=false \
			--retry-interval-start 500ms --retry-interval-max 2s --kube-api-qps 100 --kube-api-burst 200 --default-fstype ext4 \
			--http-endpoint "127.0.0.1:$PROVISIONER_PORT"
		;;
	*) die "no such component: $1 (one of: $COMPONENTS)" ;;
	esac
}

# ask URL: whether that answers well; kubectl is the one HTTP client that is sure to be there.
ask() { k_soon --server "${1%"${1#*://*/}"}" --insecure-skip-tls-verify get --raw "/${1#*://*/}" </dev/null >/dev/null 2>&1; }
k() { "$BIN/kubectl" --kubeconfig "$KUBECONFIG_FILE" "$@"; }
# Where the answer may never come (an API server without its etcd).
k_soon() { k --request-timeout 2s "$@"; }

healthy() {
	case $1 in
	etcd) ask "http://127.0.0.1:$ETCD_HEALTH_PORT/health" ;;
	containerd) "$BIN/ctr" --address "$CONTAINERD_SOCKET" --connect-timeout 1s version >/dev/null 2>&1 ;;
	kube-apiserver) k_soon get --raw /readyz >/dev/null 2>&1 ;;
	kube-controller-manager) ask "https://127.0.0.1:$CONTROLLER_MANAGER_PORT/healthz" ;;
	kube-scheduler) ask "https://127.0.0.1:$SCHEDULER_PORT/healthz" ;;
	kubelet) k_soon get --raw "/api/v1/nodes/$NODE/proxy/healthz" >/dev/null 2>&1 && node_ready ;; # by the way exec takes
	csi-driver) [ -S "$CSI_SOCKET" ] ;;
	snapshot-controller) ask "http://127.0.0.1:$SNAPSHOT_CONTROLLER_PORT/metrics" ;;
	csi-snapshotter) ask "http://127.0.0.1:$SNAPSHOTTER_PORT/metrics" ;;
	csi-provisioner) ask "http://127.0.0.1:$PROVISIONER_PORT/metrics" ;;
	esac
}

node_ready() { [ "$(k_soon get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]; }

# await COMPONENT...: until each is healthy, at most a minute.
await() {
	for component; do
		tries=0
		until healthy "$component"; do
			pid_of "$component" >/dev/null || die "$component ended: $(tail -n 3 "$LOG/$component.log")"
			tries=$((tries + 1))
			[ "$tries" -lt 300 ] || die "$component is not healthy; see $LOG/$component.log"
			sleep 0.2
		done
	done
}

stop_component() {
	pid=$(pid_of "$1") || return 0
	kill -KILL "$pid"
	while pid_of "$1" >/dev/null; do sleep 0.02; done
	[ "$1" != csi-driver ] || rm -f "$CSI_SOCKET"
}

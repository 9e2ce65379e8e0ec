# shellcheck shell=sh disable=SC2034,SC2154
# Where everything of the local cluster is. Sourced by local.sh, which sets $here.

STATE=/var/lib/backup-ns-cluster # etcd's and containerd's data, volumes, certificates, logs
RUN=/run/backup-ns-cluster       # sockets and process ids
LOG=$STATE/log
PKI=$STATE/pki
CONF=$STATE/conf
CSI_MOUNT=$STATE/csi # the XFS that holds the volumes' images
CSI_SIZE=20G         # sparse
KUBELET=$STATE/kubelet
KUBECONFIG_FILE=$STATE/kubeconfig

# The API server's and the node's only address. It is the cluster's own, on lo: reachable from the
# machine and from its pods, unaffected by what network the machine is in.
NODE_IP=10.96.0.1
SERVICE_CIDR=10.96.0.0/16
POD_CIDR=10.244.0.0/24
BRIDGE=backup-ns0
NODE=local
CGROUP=backup-ns-cluster # all pods are below it

DRIVER=csi-local.backup-ns.sh
CONTAINERD_SOCKET=$RUN/containerd.sock
CSI_SOCKET=$RUN/csi.sock
# Loopback ports, off the usual ones.
ETCD_PORT=23790 ETCD_PEER_PORT=23800 ETCD_HEALTH_PORT=23810
CONTROLLER_MANAGER_PORT=23820 SCHEDULER_PORT=23830
PROVISIONER_PORT=23850 SNAPSHOTTER_PORT=23860 SNAPSHOT_CONTROLLER_PORT=23870

COMPONENTS='etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet csi-driver snapshot-controller csi-snapshotter csi-provisioner'
SIDECARS='csi-snapshotter csi-provisioner'
# Those that live on watching the API.
WATCHERS='kube-controller-manager kube-scheduler kubelet snapshot-controller csi-snapshotter csi-provisioner'

KUBERNETES_VERSION=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' "$here/go.mod")

# What is built once and kept, by the hash of what it is built from.
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/backup-ns/cluster
hash_of() { sha256sum | cut -c 1-16; }
BIN=$CACHE/bin-$(uname -m)-$(cd "$here" && cat go.mod go.sum csi/*.go pause/*.go build.sh | hash_of)
IMAGES=$CACHE/images-$(uname -m)-$(cd "$here" && cat image/*.sh | hash_of)
# What is made only when a test asks for it.
MORE_IMAGES='postgres:17, postgres:18, mariadb:11.8, mysql:9.7, restic/restic:0.14.0, rclone/rclone:1.60.1, backup-ns/remotes:12, backup-ns/s3:1'

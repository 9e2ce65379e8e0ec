#!/bin/sh
# A kind cluster on a Docker engine: kind, the snapshot CRDs and controller and the hostpath CSI
# driver, all pinned. Needs docker, kind (v0.33), kubectl and Go in PATH; called by cluster.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
name=backup-ns
cache=${XDG_CACHE_HOME:-$HOME/.cache}/backup-ns/cluster
kubeconfig=$cache/docker.kubeconfig

say() { echo "cluster: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}
k() { kubectl --kubeconfig "$kubeconfig" "$@"; }
exists() { kind get clusters 2>/dev/null | grep -qx "$name"; }

status() {
	exists && kind export kubeconfig --name "$name" --kubeconfig "$kubeconfig" >/dev/null 2>&1 &&
		k --request-timeout=10s -n csi rollout status statefulset/csi-hostpath --timeout=5s
}

up() {
	for tool in docker kind kubectl go; do
		command -v "$tool" >/dev/null || die "$tool is not in PATH"
	done
	docker info >/dev/null 2>&1 || die "no Docker engine answers"
	mkdir -p "$cache"
	if status >/dev/null 2>&1; then
		say "is up"
		return
	fi
	# What is half made is not mended.
	! exists || kind delete cluster --name "$name"
	kind create cluster --name "$name" --config "$here/kind.yaml" --kubeconfig "$kubeconfig" --wait 180s
	# kind brings a default storage class of its own, without snapshots.
	k delete storageclass standard --ignore-not-found

	# The CRDs of the very version the local cluster uses, out of the same module.
	module=github.com/kubernetes-csi/external-snapshotter/client/v8
	crds=$(cd "$here/local" && GOTOOLCHAIN=auto go mod download "$module" && GOTOOLCHAIN=auto go list -m -f '{{.Dir}}' "$module")/config/crd
	for kind in classes contents s; do
		k apply -f "$crds/snapshot.storage.k8s.io_volumesnapshot$kind.yaml"
		k apply -f "$crds/groupsnapshot.storage.k8s.io_volumegroupsnapshot$kind.yaml"
		k wait --for=condition=Established --timeout=60s "crd/volumesnapshot$kind.snapshot.storage.k8s.io" \
			"crd/volumegroupsnapshot$kind.groupsnapshot.storage.k8s.io"
	done
	k apply -f "$here/docker/csi.yaml"

	# The one image that is not a public one: postgres with pigz.
	printf 'FROM postgres:15\nRUN apt-get update && apt-get install -y --no-install-recommends pigz && rm -rf /var/lib/apt/lists/*\n' |
		docker build --tag postgres:15-pigz -
	kind load docker-image --name "$name" postgres:15-pigz

	k -n csi rollout status deployment/snapshot-controller --timeout=300s
	k -n csi rollout status statefulset/csi-hostpath --timeout=300s
	say "up"
}

case ${1-} in
up) up ;;
down)
	kind delete cluster --name "$name" --kubeconfig "$kubeconfig"
	rm -f "$kubeconfig"
	;;
status) status ;;
kubeconfig) echo "$kubeconfig" ;;
env) echo "export KUBECONFIG='$kubeconfig'" ;;
load) kind load image-archive --name "$name" "$2" ;;
image)
	docker image inspect "$2" >/dev/null 2>&1 || docker pull --quiet "$2" >&2 || exit 4
	kind load docker-image --name "$name" "$2"
	;;
*) die "usage: docker.sh up | down | status | kubeconfig | env | load ARCHIVE | image IMAGE" ;;
esac

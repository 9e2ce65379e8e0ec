# shellcheck shell=sh disable=SC2154,SC2164
# Compiles the cluster's programs and makes its images into the cache. Sourced by local.sh.

PROGRESS_SECONDS=30

built() { [ -d "$BIN" ] && [ -d "$IMAGES" ]; }

# need_packages COMMAND=PACKAGE...: installs, from Debian, the packages whose command is missing.
need_packages() {
	missing=
	for pair; do
		[ -e "${pair%%=*}" ] || command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || die "missing here:$missing. Install them; this machine has no apt-get to do it with."
	say "installing Debian packages:$missing"
	# shellcheck disable=SC2086
	{
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -y --no-install-recommends $missing ||
			{ apt-get update && apt-get install -y --no-install-recommends $missing; }
	} </dev/null >"$CACHE/apt.log" 2>&1 || die "apt-get install$missing failed: $(tail -n 3 "$CACHE/apt.log")"
}

need_packages_to_run() {
	mkdir -p "$CACHE"
	need_packages ip=iproute2 runc=runc mkfs.xfs=xfsprogs mkfs.ext4=e2fsprogs losetup=mount flock=util-linux \
		/usr/lib/cni/bridge=containernetworking-plugins
}

# From 1.21 on, Go fetches the version that go.mod names by itself. An older one (Debian 12 has 1.19)
# is good enough to download that toolchain, which is a module like any other.
need_go() {
	need_packages go=golang-go
	version=$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')
	minor=${version#1.}
	[ "${version%%.*}" = 1 ] && [ "${minor%%.*}" -lt 21 ] || return 0
	wanted=$(sed -n 's/^go //p' "$here/go.mod")
	say "Go $version is older than 1.21; fetching Go $wanted"
	toolchain=golang.org/toolchain@v0.0.1-go$wanted.linux-$(go env GOARCH)
	(cd / && go mod download "$toolchain") ||
		die "Go 1.21 or newer is needed, and $toolchain could not be had. Put the bin directory of a newer Go into PATH."
	toolchain=$(go env GOMODCACHE)/$toolchain
	chmod -R u+w,+x "$toolchain/bin" "$toolchain/pkg/tool"
	PATH=$toolchain/bin:$PATH
}

# compile DIRECTORY: all programs, the snapshot CRDs and the pause image.
compile() (
	cd "$here"
	out=$1
	export CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-mod=readonly GOWORK=off
	go build -v -trimpath \
		-ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION -X k8s.io/client-go/pkg/version.gitVersion=$KUBERNETES_VERSION" \
		-o "$out/" tool ./csi ./pause
	mv "$out/server" "$out/etcd"
	mv "$out/csi" "$out/csi-driver"
	mkdir "$out/path" # what a user gets into PATH
	ln "$out/kubectl" "$out/path/kubectl"

	crds=$(go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)/config/crd
	for kind in classes contents s; do
		for crd in snapshot.storage.k8s.io_volumesnapshot groupsnapshot.storage.k8s.io_volumegroupsnapshot; do
			cat "$crds/$crd$kind.yaml"
			echo ---
		done
	done >"$out/crds.yaml"

	# shellcheck source=SCRIPTDIR/image/oci.sh
	. "$here/image/oci.sh"
	oci_begin "$out/oci"
	tar -C "$out" --owner=0 --group=0 -cf "$out/pause.layer" pause
	oci_layer "$out/pause.layer"
	oci_image docker.io/backup-ns/pause:1 '{"Entrypoint":["/pause"]}' "$layer"
	oci_end "$out/pause.tar"
)

# Everything into the cache; whole or not at all, one build at a time.
build() {
	mkdir -p "$CACHE"
	(
		flock -n 8 || {
			say "another build is running; waiting for it"
			flock 8
		}
		! built || exit 0
		rm -rf "$CACHE"/part-*
		began=$(date +%s)
		images_pid='' compile_pid=''
		trap 'for pid in $images_pid $compile_pid; do kill -TERM "-$pid" 2>/dev/null || true; done; rm -rf "$CACHE"/part-*' EXIT
		trap 'exit 1' HUP INT TERM
		if [ ! -d "$IMAGES" ]; then
			need_packages mmdebstrap=mmdebstrap
			say "making the database images (about a minute); log: $CACHE/images.log"
			mkdir "$CACHE/part-images"
			setsid "$here/image/build.sh" "$CACHE/part-images/images.tar" </dev/null >"$CACHE/images.log" 2>&1 8>&- &
			images_pid=$!
		fi
		if [ ! -d "$BIN" ]; then
			need_go
			say "compiling Kubernetes, containerd and etcd (about 15 minutes on two cores, once); log: $CACHE/compile.log"
			mkdir "$CACHE/part-bin"
			setsid "$here/local.sh" compile "$CACHE/part-bin" </dev/null >"$CACHE/compile.log" 2>&1 8>&- &
			compile_pid=$!
		fi
		while sleep 1; do
			running=
			for pid in $images_pid $compile_pid; do
				! kill -0 "$pid" 2>/dev/null || running=1
			done
			[ -n "$running" ] || break
			elapsed=$(($(date +%s) - began))
			[ $((elapsed % PROGRESS_SECONDS)) -ne 0 ] || [ -z "$compile_pid" ] ||
				say "compiling: $((elapsed / 60)) min $((elapsed % 60)) s, $(grep -c / "$CACHE/compile.log") packages done (some 2,600 when nothing is in Go's cache)"
		done
		[ -z "$images_pid" ] || wait "$images_pid" || die "making the images failed: $(tail -n 5 "$CACHE/images.log")"
		[ -z "$compile_pid" ] || wait "$compile_pid" || die "compiling failed: $(tail -n 5 "$CACHE/compile.log")"
		[ -z "$images_pid" ] || mv -T "$CACHE/part-images" "$IMAGES"
		[ -z "$compile_pid" ] || mv -T "$CACHE/part-bin" "$BIN"
		say "built in $(($(date +%s) - began)) s into $CACHE"
	) 8>"$CACHE/lock"
}

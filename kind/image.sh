#!/bin/sh
# Builds the Dockerfile's image, and loads it into the cluster under the name that the chart asks for. Where a Docker engine
# runs, it is built of its real base images; elsewhere by buildah, of stand-ins made from this machine's own Rust, the
# cluster's kubectl and Debian's certificates and time zones, because nothing can be pulled there.
# Usage: image.sh [build]   build it, if what it is made of has changed; prints the archive
#        image.sh load      build it, and load it into the cluster that is up
set -eu
cd "$(dirname "$0")/.."

say() { echo "image: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=ghcr.io/backup-ns/backup-ns:$version
out=target/image
archive=$out/image.tar
made_of=$(find Dockerfile .dockerignore build.rs Cargo.toml Cargo.lock src kind/image.sh -type f -exec sha256sum {} + | LC_ALL=C sort | sha256sum)

docker_runs() { command -v docker >/dev/null && docker info >/dev/null 2>&1; }

by_docker() {
	docker build --quiet --build-arg "VERSION=$version" --tag "$name" . >&2
	docker save --output "$archive" "$name"
}

# stand_in NAME: a base image from the files in $work/NAME.
stand_in() {
	container=$(b from scratch)
	b copy --quiet "$container" "$work/$1" / >/dev/null
	shift_name=$1
	shift
	[ "$#" = 0 ] || b config "$@" "$container"
	b commit --quiet "$container" "localhost/stand-in/$shift_name" >/dev/null
	b rm "$container" >/dev/null
}

b() {
	command=$1
	shift
	buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$command" "$@"
}

by_buildah() {
	[ "$(id -u)" = 0 ] || die "without Docker, root and buildah are needed"
	command -v buildah >/dev/null || {
		say "installing Debian's buildah"
		export DEBIAN_FRONTEND=noninteractive
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends buildah ca-certificates tzdata; } </dev/null >"$out/apt.log" 2>&1 ||
			die "apt-get install buildah failed: $(tail -n 3 "$out/apt.log")"
	}
	kubectl=$(eval "$(kind/cluster.sh env)" && command -v kubectl) || die "no kubectl: kind/cluster.sh up brings one"
	sysroot=$(rustc --print sysroot)
	cargo_home=${CARGO_HOME:-$HOME/.cargo}
	cargo fetch --locked --quiet
	export BUILDAH_ISOLATION=chroot
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM

	# The compiler and its linker are this machine's, mounted while the image is built.
	mkdir -p "$work/rust/etc/alternatives" "$work/rust/usr" "$work/rust/tmp"
	for link in bin lib lib64; do
		[ ! -L "/$link" ] || ln -s "usr/$link" "$work/rust/$link"
	done
	stand_in rust --env "PATH=$sysroot/bin:/usr/bin:/bin" --env "CARGO_HOME=$cargo_home" --env CARGO_NET_OFFLINE=true
	mkdir -p "$work/kubectl/bin"
	cp "$kubectl" "$work/kubectl/bin/kubectl"
	stand_in kubectl
	mkdir -p "$work/base/etc/ssl/certs" "$work/base/usr/share" "$work/base/tmp"
	chmod 1777 "$work/base/tmp"
	cp /etc/ssl/certs/ca-certificates.crt "$work/base/etc/ssl/certs/"
	cp -a /usr/share/zoneinfo "$work/base/usr/share/"
	rm -rf "$work/base/usr/share/zoneinfo/right" # with leap seconds, which no program here uses
	echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$work/base/etc/passwd"
	stand_in base

	# What was compiled for an image before is not compiled again.
	mkdir -p "$PWD/$out/target"
	b build --quiet --pull-never --layers=false --build-arg "VERSION=$version" \
		--build-arg RUST_IMAGE=localhost/stand-in/rust --build-arg KUBECTL_IMAGE=localhost/stand-in/kubectl \
		--build-arg BASE_IMAGE=localhost/stand-in/base \
		--volume /usr:/usr:ro --volume /etc/alternatives:/etc/alternatives:ro --volume "$sysroot:$sysroot:ro" \
		--volume "$cargo_home:$cargo_home" --volume "$PWD/$out/target:/build/target" \
		--tag "$name" . >"$out/build.log" 2>&1 || die "building failed: $(tail -n 5 "$out/build.log")"
	rm -f "$archive"
	b push --quiet "$name" "docker-archive:$archive:$name"
}

build() {
	mkdir -p "$out"
	if [ -f "$archive" ] && [ "$(cat "$out/made-of" 2>/dev/null)" = "$made_of" ]; then
		return
	fi
	say "building $name; log: $out/build.log"
	if docker_runs; then by_docker; else by_buildah; fi
	echo "$made_of" >"$out/made-of"
}

case ${1-build} in
build) ;;
load) ;;
*) die "usage: image.sh [build | load]" ;;
esac
build
[ "${1-build}" != load ] || kind/cluster.sh load "$archive"
echo "$archive"

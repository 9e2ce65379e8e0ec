#!/bin/sh
# Makes the Debian package of a binary that `cargo build --release` has made, and prints its path. With a TARGET, the binary
# is that of `cargo build --release --target TARGET`, for this machine's architecture.
# Usage: deb.sh [TARGET]
set -eu
cd "$(dirname "$0")/.."
CARGO_DEB=3.8.0

say() { echo "deb: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}

built=${CARGO_TARGET_DIR:-target}/${1:+$1/}release
[ -x "$built/backup-ns" ] || die "there is no $built/backup-ns: cargo build --release --locked${1:+ --target $1}"

# cargo-deb is compiled once into the cache, whole or not at all. Without its library, it compresses with xz(1).
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/backup-ns
cargo_deb=$cache/cargo-deb-$(uname -m)-$CARGO_DEB
mkdir -p "$cache"
exec 8>"$cache/cargo-deb.lock"
flock 8
if [ ! -d "$cargo_deb" ]; then
	say "compiling cargo-deb $CARGO_DEB (about a minute on two cores, once); log: $cache/cargo-deb.log"
	rm -rf "$cache/cargo-deb-part"
	env -u CARGO_TARGET_DIR -u RUSTFLAGS cargo install --locked --no-default-features --root "$cache/cargo-deb-part" \
		"cargo-deb@$CARGO_DEB" >"$cache/cargo-deb.log" 2>&1 8>&- || die "compiling failed: $(tail -n 5 "$cache/cargo-deb.log")"
	mv -T "$cache/cargo-deb-part" "$cargo_deb"
fi

# What [package.metadata.deb] of Cargo.toml takes from here.
files=target/deb
rm -rf "$files"
mkdir -p "$files"
"$built/backup-ns" man "$files/man" >/dev/null
for shell in bash zsh fish; do
	"$built/backup-ns" completion "$shell" >"$files/completion.$shell"
done
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
day=$(sed -n "s/^## $version, \([0-9-]*\)$/\1/p" CHANGELOG.md)
cat >"$files/changelog" <<END
backup-ns ($(echo "$version" | sed 's/-/~/')-1) unstable; urgency=medium

  * All changes are in changelog.gz beside this file.

 -- $(sed -n 's/^maintainer = "\(.*\)"$/\1/p' Cargo.toml)  $(LC_ALL=C date --utc --rfc-email --date "${day:-$(git log -1 --format=%cI)}")
END
PATH=$cargo_deb/bin:$PATH cargo deb --no-build --no-strip --locked ${1:+--target "$1"}

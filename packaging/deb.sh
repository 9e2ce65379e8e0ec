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

# Without its library, it compresses with xz(1).
cargo_deb=$(tests/bin/cargo-tool.sh cargo-deb "$CARGO_DEB")

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
PATH=$cargo_deb:$PATH cargo deb --no-build --no-strip --locked ${1:+--target "$1"}

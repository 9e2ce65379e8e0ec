#!/bin/sh
# What the tests need beside Rust: shells, man, shellcheck, lintian, restic, rclone, Prometheus with
# Alertmanager, and PostgreSQL, MariaDB and nginx for scratch servers.
# Usage: install.sh          list what is missing, then install it (Debian, as root)
#        install.sh check    list what the quick loop misses, and install nothing; exit code 1 if that is anything
set -eu

say() { echo "init: $*" >&2; }

missing=
# need PROGRAM PACKAGE
need() { command -v "$1" >/dev/null || missing="$missing $2"; }

rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$(dirname "$0")/../../rust-toolchain.toml")
command -v cargo >/dev/null || {
	say "error: cargo is not in the PATH; install Rust $rust: https://rustup.rs"
	exit 1
}
need dash dash
need bash bash
need busybox busybox
need shellcheck shellcheck
need setpriv util-linux
need zsh zsh
need fish fish
need man man-db
need jq jq
need zstd zstd
case ${1-} in
check)
	[ -n "$missing" ] || exit 0
	say "error: missing:$missing"
	say "install them with 'make init', which lists first what it installs (Debian, as root)"
	exit 1
	;;
'') ;;
*)
	say "usage: install.sh [check]"
	exit 2
	;;
esac
need pkill procps
# Fetches the older and newer kubectl.
python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
need curl curl
need openssl openssl
[ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$missing postgresql"
PATH=$PATH:/usr/sbin
need nginx nginx-light
need mariadbd mariadb-server
need restic restic
need prometheus prometheus
need prometheus-alertmanager prometheus-alertmanager
# Make and check the Debian package.
need lintian lintian
need strip binutils
need dpkg-shlibdeps dpkg-dev
need xz xz-utils
need rclone rclone

if [ -z "$missing" ]; then
	say "nothing to install"
	exit 0
fi
say "to install:$missing"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	say "error: this needs root and apt-get; install the packages of that list in another way"
	exit 1
fi
# No package may start a server of its own; the tests start theirs.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null

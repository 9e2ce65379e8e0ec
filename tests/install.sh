#!/bin/sh
# Installs what the tests need beside Rust, where it is missing: shells, man, shellcheck, PostgreSQL and MariaDB for scratch servers.
set -eu

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need dash dash
need bash bash
need busybox busybox
need shellcheck shellcheck
need hyperfine hyperfine
need setpriv util-linux
need pkill procps
need curl curl
need jq jq
need zsh zsh
need fish fish
need man man-db
[ -n "$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$missing postgresql"
PATH=$PATH:/usr/sbin
need mariadbd mariadb-server

command -v cargo >/dev/null || {
	echo "init: error: cargo is not in the PATH; install Rust 1.89 or newer with rustup or your distribution's package" >&2
	exit 1
}
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "init: error: please install:$missing" >&2
	exit 1
fi
echo "init: installing$missing" >&2
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

#!/bin/sh
# Prints the folder of a program that cargo compiles into the cache, once, whole or not at all:
#   PATH=$(tests/bin/cargo-tool.sh NAME VERSION [OPTION OF CARGO INSTALL]...):$PATH
set -eu
name=$1 version=$2
shift 2
say() { echo "$name: $*" >&2; }

cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/backup-ns
tool=$cache/$name-$(uname -m)-$version
part=$cache/$name-part log=$cache/$name.log
mkdir -p "$cache"
exec 8>"$cache/$name.lock"
flock 8
if [ ! -d "$tool" ]; then
	say "compiling it (about a minute on two cores, once); log: $log"
	trap 'rm -rf "$part"' EXIT
	trap 'exit 1' HUP INT TERM
	rm -rf "$part"
	env -u RUSTFLAGS CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$part/target" cargo install "$name@$version" --locked \
		--no-default-features --root "$part/install" "$@" >"$log" 2>&1 8>&- || {
		say "error: compiling failed: $(tail -n 5 "$log")"
		exit 1
	}
	mv -T "$part/install" "$tool"
fi
echo "$tool/bin"

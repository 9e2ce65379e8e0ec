#!/bin/sh
# The Debian package: made, checked by lintian, installed into an empty system, used there, and removed without a trace.
set -eu
cd "$(dirname "$0")/../.."
fail() {
	echo "deb: error: $*" >&2
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The binary of the tests, because one for a release takes minutes.
cargo build --locked --quiet --bin backup-ns
mkdir -p "$work/target/release" "$work/system/var/lib/dpkg" "$work/system/tmp"
strip -o "$work/target/release/backup-ns" target/debug/backup-ns
CARGO_TARGET_DIR=$work/target packaging/deb.sh >"$work/made"
package=$(tail -n 1 "$work/made")
case ${package##*/} in
"backup-ns_$(.github/release.sh version)-1_$(dpkg --print-architecture).deb") ;;
*) fail "the package is called $package" ;;
esac
lintian --allow-root --fail-on error,warning "$package" || fail "lintian finds faults in the package"

# What it depends on is on this machine, not in that system.
in_system() { dpkg --root="$work/system" --force-depends --force-not-root --log=/dev/null "$@" >"$work/log" 2>&1 || fail "dpkg $*: $(cat "$work/log")"; }
installed() { (cd "$work/system" && find . -path ./var/lib/dpkg -prune -o ! -type d -print); }
touch "$work/system/var/lib/dpkg/status"
in_system --install "$package"
for file in usr/share/doc/backup-ns/copyright usr/share/doc/backup-ns/changelog.gz usr/share/doc/backup-ns/changelog.Debian.gz; do
	[ -s "$work/system/$file" ] || fail "it has no $file"
done
version="backup-ns $(.github/release.sh version)"
for name in backup-ns kubectl-backup_ns; do
	[ "$("$work/system/usr/bin/$name" --version)" = "$version" ] || fail "$name does not run"
done
# Completion as each shell loads it, for the command, whose name is found in the PATH.
share=$work/system/usr/share
export PATH="$work/system/usr/bin:$PATH"
# shellcheck disable=SC2016
bash -c '. "$1" && complete -p backup-ns' bash "$share/bash-completion/completions/backup-ns" >/dev/null || fail "bash does not complete it"
# shellcheck disable=SC2016
zsh -fc 'fpath=("$1" $fpath); autoload -Uz compinit && compinit -u -d "$2" && [ -n "$_comps[backup-ns]" ]' zsh \
	"$share/zsh/vendor-completions" "$work/zcompdump" || fail "zsh does not complete it"
# shellcheck disable=SC2016
[ "$(fish --no-config -c 'source $argv[1]; complete -C "backup-ns rebind-"' "$share/fish/vendor_completions.d/backup-ns.fish" | cut -f 1)" = rebind-vsc ] ||
	fail "fish does not complete it"
# A page for each that there is, readable by man.
for page in backup-ns kubectl-backup_ns $("$work/system/usr/bin/backup-ns" man "$work/man" | sed 's|.*/||; s|\.1$||'); do
	MANPATH=$share/man man --warnings -E UTF-8 "$page" >/dev/null 2>"$work/log" || fail "man $page: $(cat "$work/log")"
	[ ! -s "$work/log" ] || fail "man $page: $(cat "$work/log")"
done
in_system --purge backup-ns
[ -z "$(installed)" ] || fail "it leaves behind: $(installed)"

#!/bin/sh
# Prints a directory with the helm, helm-docs, kubeconform, actionlint and promtool that tests/tools/go.mod names, with
# kube-score, kube-state-metrics and check-dashboard:
#   PATH=$(tests/bin/tools.sh):$PATH
# They are compiled once into the cache, whole or not at all. What the PATH has already is not asked.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/tools
say() { echo "tools: $*" >&2; }
die() {
	say "error: $*"
	exit 1
}
CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/backup-ns
# For need_go; it reads $here/go.mod.
# shellcheck source=SCRIPTDIR/../../kind/local/build.sh
. "$root/kind/local/build.sh"

TOOLS=$CACHE/tools-$(uname -m)-$(cd "$here" && cat go.* kube-score/go.* kube-state-metrics/go.* check-dashboard/*.go ../bin/tools.sh | sha256sum | cut -c 1-16)
LOG=$CACHE/tools.log

version_of() { sed -n "s|^\t$1 v\([0-9.]*\).*|\1|p" go.mod; }

# As kind/local compiles, so that Go's cache serves both; promtool without what discovers targets in clouds. Without the
# flags, helm would take every cluster for 1.20.
compile_tools() {
	cd "$here"
	helm=helm.sh/helm/v3
	minor=$(sed -n 's|.* => k8s.io/client-go v0\.\([0-9]*\).*|\1|p' go.mod)
	flags="-s -w -X $helm/internal/version.version=v$(version_of $helm)"
	for package in chartutil lint/rules; do
		flags="$flags -X $helm/pkg/$package.k8sVersionMajor=1 -X $helm/pkg/$package.k8sVersionMinor=$minor"
	done
	flags="$flags -X github.com/prometheus/common/version.Version=$(version_of github.com/prometheus/prometheus)"
	# The last two do not compile with what the others need.
	# shellcheck disable=SC2016 # the inner shell's arguments
	exec env CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS=-mod=readonly GOWORK=off setsid sh -euc '
		go build -v -trimpath -tags remove_all_sd -ldflags="$1" -o "$2" tool ./check-dashboard
		for module in kube-score kube-state-metrics; do
			(cd "$module" && go build -v -trimpath -ldflags="-s -w" -o "$2" tool)
		done' sh "$flags" "$CACHE/tools-part/"
}

build_tools() {
	mkdir -p "$CACHE"
	exec 8>"$CACHE/tools.lock"
	flock -n 8 || {
		say "another build is running; waiting for it"
		flock 8
	}
	[ ! -d "$TOOLS" ] || return 0
	need_go
	began=$(date +%s)
	say "compiling helm, helm-docs, kubeconform, kube-score, actionlint, promtool and kube-state-metrics (about three minutes on two cores, once); log: $LOG"
	rm -rf "$CACHE/tools-part"
	mkdir "$CACHE/tools-part"
	compile_tools </dev/null >"$LOG" 2>&1 8>&- &
	pid=$!
	trap 'kill -TERM "-$pid" 2>/dev/null || true; rm -rf "$CACHE/tools-part"' EXIT
	trap 'exit 1' HUP INT TERM
	while sleep 1 && kill -0 "$pid" 2>/dev/null; do
		elapsed=$(($(date +%s) - began))
		[ $((elapsed % PROGRESS_SECONDS)) -ne 0 ] ||
			say "compiling: $elapsed s, $(grep -c / "$LOG") packages done (some 2,200 when nothing is in Go's cache)"
	done
	wait "$pid" || die "compiling failed: $(tail -n 5 "$LOG")"
	mv -T "$CACHE/tools-part" "$TOOLS"
	say "built in $(($(date +%s) - began)) s into $TOOLS"
}

[ -d "$TOOLS" ] || build_tools
echo "$TOOLS"

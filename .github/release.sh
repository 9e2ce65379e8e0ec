#!/bin/sh
# What release.yml needs that has to be right before there is a release. tests/bin/artifacts.sh tries it.
#   release.sh version                                the version of the program and of the chart, which must be the same
#   release.sh notes VERSION <CHANGELOG.md            what changed in it; an error unless it has a date
#   release.sh krew TAG OWNER/REPOSITORY <SHA256SUMS  the krew manifest of the archives listed there
set -eu
die() {
	echo "release: error: $*" >&2
	exit 1
}

version() {
	root=$(dirname "$0")/..
	program=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
	for key in version appVersion; do
		chart=$(sed -n "s/^$key: *\"\{0,1\}\([^\" ]*\).*/\1/p" "$root/charts/backup-ns/Chart.yaml")
		[ "$chart" = "$program" ] || die "Cargo.toml says $program, $key in charts/backup-ns/Chart.yaml $chart"
	done
	grep -q "^ *image: ghcr.io/backup-ns/backup-ns:$program\$" "$root/charts/backup-ns/Chart.yaml" ||
		die "Cargo.toml says $program, artifacthub.io/images in charts/backup-ns/Chart.yaml another version"
	echo "$program"
}

notes() {
	awk -v head="## $1, " '
		index($0, "## ") == 1 { inside = 0 }
		index($0, head) == 1 && substr($0, length(head) + 1) ~ /^[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]$/ { inside = found = 1; next }
		inside
		END { exit !found }' || die "CHANGELOG.md has no line \"## $1, YYYY-MM-DD\""
}

# krew makes `kubectl backup-ns` of the plugin name backup-ns, by a link called kubectl-backup_ns.
krew() {
	sums=$(cat)
	cat <<-END
		apiVersion: krew.googlecontainertools.github.com/v1alpha2
		kind: Plugin
		metadata:
		  name: backup-ns
		spec:
		  version: $1
		  homepage: https://github.com/$2
		  shortDescription: Application-consistent backups of a namespace
		  description: |
		    Dumps a namespace's PostgreSQL, MySQL or MariaDB inside its own container,
		    proves that the dump is whole, and has a CSI VolumeSnapshot cut of the
		    volume that holds it. Prunes, verifies and restores such snapshots.
		  caveats: |
		    Needs a CSI driver that can snapshot, and the VolumeSnapshot CRDs.
		    See https://github.com/$2#readme for the permissions.
		  platforms:
	END
	for platform in linux/amd64/x86_64-unknown-linux-musl linux/arm64/aarch64-unknown-linux-musl \
		darwin/amd64/x86_64-apple-darwin darwin/arm64/aarch64-apple-darwin; do
		os=${platform%%/*} target=${platform##*/}
		architecture=${platform#*/} architecture=${architecture%/*}
		archive=backup-ns-$1-$target.tar.gz
		sum=$(echo "$sums" | sed -n "s/^\([0-9a-f]\{64\}\) [ *]$archive\$/\1/p")
		[ -n "$sum" ] || die "SHA256SUMS has no $archive"
		cat <<-END
			  - selector:
			      matchLabels:
			        os: $os
			        arch: $architecture
			    uri: https://github.com/$2/releases/download/$1/$archive
			    sha256: $sum
			    bin: backup-ns
		END
	done
}

case ${1-} in
version | notes | krew) "$@" ;;
*) die 'usage: release.sh version | notes VERSION | krew TAG OWNER/REPOSITORY' ;;
esac

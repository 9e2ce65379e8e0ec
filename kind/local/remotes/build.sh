#!/bin/sh
# Makes images with the tools that `export` lends volumes to, from Debian bookworm's restic and rclone. Beside ARCHIVE it writes
# their versions. Usage: build.sh ARCHIVE. Exit code 4: they cannot be had, or bookworm no longer has these versions.
#   restic/restic:0.14.0, rclone/rclone:1.60.1  laid out as the official images, which are Alpine's: busybox, without zstd
#   backup-ns/remotes:12                        both tools, zstd, and Debian's shell and tools; the tests' remotes run in it
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/../image/oci.sh
. "$here/../image/oci.sh"
archive=$1

unavailable() {
	echo "$*" >&2
	exit 4
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# On Debian the mirror of apt's own configuration is taken, elsewhere mmdebstrap's default. The $(…) are apt's.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' 'Created-By: Packages' | sed -n 's/^Debian Debian //p' | head -n 1)
mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/run \
	--include=busybox,ca-certificates,dash,gzip,procps,rclone,restic,zstd \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--setup-hook="'$here/../image/setup.sh' \"\$1\"" --customize-hook="'$here/trim.sh' \"\$1\" '$work'" \
	bookworm "$work/root.tar" ${mirror:+"$mirror"} >&2 || unavailable "no root can be made of Debian bookworm"

# version PACKAGE: its upstream version.
version() { sed -n "s/^$1 \([0-9.]*\).*/\1/p" "$work/versions"; }
restic=$(version restic) rclone=$(version rclone)
[ "$restic/$rclone" = 0.14.0/1.60.1 ] || unavailable "Debian bookworm has restic $restic and rclone $rclone, not 0.14.0 and 1.60.1"

for layer in base restic rclone; do
	tar -C "$work/$layer" --owner=0 --group=0 -cf "$work/$layer.tar" .
done
path=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
oci_begin "$work/oci"
oci_layer "$work/root.tar" && root=$layer
oci_layer "$work/base.tar" && base=$layer
oci_layer "$work/restic.tar" && restic_layer=$layer
oci_layer "$work/rclone.tar" && rclone_layer=$layer
oci_image docker.io/backup-ns/remotes:12 '{"Env":["'$path'","LANG=C.UTF-8"],"Cmd":["sh"]}' "$root"
oci_image docker.io/restic/restic:0.14.0 '{"Env":["'$path'"],"Entrypoint":["/usr/bin/restic"]}' "$base" "$restic_layer"
oci_image docker.io/rclone/rclone:1.60.1 \
	'{"Env":["'$path'","XDG_CONFIG_HOME=/config"],"Entrypoint":["rclone"],"WorkingDir":"/data"}' "$base" "$rclone_layer"
oci_end "$archive"
printf 'restic %s\nrclone %s\n' "$restic" "$rclone" >"${archive%/*}/versions"

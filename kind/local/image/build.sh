#!/bin/sh
# Makes the database images from Debian packages: one root with both servers, one small layer of
# entrypoints, one with pigz; tagged like the official images so that the same manifests work on
# every kind of cluster. Usage: build.sh ARCHIVE
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/oci.sh
. "$here/oci.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The mirror is the machine's own, out of its apt configuration; mmdebstrap reads that by itself
# where it is bookworm's. The $(…) are apt's.
mirror=
# shellcheck disable=SC2016
if ! apt-get indextargets --format '$(CODENAME)' 'Created-By: Packages' | grep -qx bookworm; then
	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
fi
mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/run \
	--include=bash,busybox,ca-certificates,dash,gzip,mariadb-server,pigz,postgresql-15,procps,zstd \
	--aptopt='APT::Install-Recommends "false"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' \
	--setup-hook="'$here/setup.sh' \"\$1\"" --customize-hook="'$here/trim.sh' \"\$1\" '$work/pigz'" \
	bookworm "$work/root.tar" ${mirror:+"$mirror"}

mkdir -p "$work/entry/usr/local/bin"
for name in postgres mariadb; do
	install -m 755 "$here/$name-entrypoint.sh" "$work/entry/usr/local/bin/$name-entrypoint.sh"
done
for layer in entry pigz; do
	tar -C "$work/$layer" --owner=0 --group=0 -cf "$work/$layer.tar" usr
done

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin
# INT is PostgreSQL's fast shutdown; TERM would wait for every client to leave.
postgres='{"Env":["PATH='$path'","LANG=C.UTF-8","PG_MAJOR=15","PGDATA=/var/lib/postgresql/data"],"Entrypoint":["postgres-entrypoint.sh"],"Cmd":["postgres"],"StopSignal":"SIGINT"}'
mariadb='{"Env":["PATH='$path'","LANG=C.UTF-8"],"Entrypoint":["mariadb-entrypoint.sh"],"Cmd":["mariadbd"]}'

oci_begin "$work/oci"
oci_layer "$work/root.tar" && root=$layer
oci_layer "$work/entry.tar" && entry=$layer
oci_layer "$work/pigz.tar" && pigz=$layer
oci_image docker.io/library/postgres:15 "$postgres" "$root" "$entry"
oci_image docker.io/library/postgres:15-pigz "$postgres" "$root" "$entry" "$pigz"
oci_image docker.io/library/mariadb:10.11 "$mariadb" "$root" "$entry"
oci_end "$1"

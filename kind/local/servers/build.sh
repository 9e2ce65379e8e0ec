#!/bin/sh
# Makes images of newer database servers from the packages of one Debian suite, tagged like the official images:
# trixie has postgres:17 and mariadb:11.8, sid has postgres:18 and mysql:9.7. Beside ARCHIVE it writes the versions.
# Usage: build.sh SUITE ARCHIVE. Exit code 4: the suite cannot be had, or no longer has these versions.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=SCRIPTDIR/../image/oci.sh
. "$here/../image/oci.sh"
suite=$1 archive=$2

unavailable() {
	echo "$*" >&2
	exit 4
}

case $suite in
trixie) postgres=17 other=mariadb other_version=11.8 packages=mariadb-client,mariadb-server-core ;;
sid) postgres=18 other=mysql other_version=9.7 packages=mysql-client-core,mysql-server-core ;;
*)
	echo "no images are made of the suite $suite" >&2
	exit 1
	;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# On Debian the mirror of apt's own configuration is taken, elsewhere mmdebstrap's default. The $(…) are apt's.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' 'Created-By: Packages' | sed -n 's/^Debian Debian //p' | head -n 1)
# No package of the core sets makes a data directory. A mirror may hold an older state of sid than apt accepts;
# that it is signed is still checked, and the versions are checked below.
mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/run \
	--include=bash,busybox,ca-certificates,dash,gzip,locales,procps,xz-utils,zstd,postgresql-$postgres,$packages \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
	--aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' \
	--setup-hook="'$here/../image/setup.sh' \"\$1\"" --essential-hook="'$here/users.sh' \"\$1\"" \
	--customize-hook="'$here/trim.sh' \"\$1\" '$work'" \
	"$suite" "$work/root.tar" ${mirror:+"$mirror"} >&2 || unavailable "no root can be made of Debian $suite"

# version PACKAGE: its upstream version.
version() { sed -n "s/^$1 \(.*:\)\{0,1\}\([0-9.]*\).*/\2/p" "$work/versions"; }
postgres_version=$(version postgresql-$postgres) full_version=$(version $other-server-core)
case $postgres_version/$full_version in
$postgres.*/$other_version.*) ;;
*) unavailable "Debian $suite has postgresql $postgres_version and $other $full_version, not $postgres and $other_version" ;;
esac

# What the two images do not share: the user with the id that the official images give it, and the configuration.
mkdir -p "$work/postgres/usr/local/bin" "$work/$other/usr/local/bin" "$work/postgres/etc" "$work/$other/etc"
install -m 755 "$here/../image/postgres-entrypoint.sh" "$work/postgres/usr/local/bin/"
for name in postgres mysql; do
	layer=$name
	[ "$name" = postgres ] || layer=$other
	grep -Ev "^(postgres|mysql):" "$work/passwd" >"$work/$layer/etc/passwd"
	grep "^$name:" "$work/passwd" >>"$work/$layer/etc/passwd"
	grep -Ev "^(postgres|mysql):" "$work/group" >"$work/$layer/etc/group"
	grep "^$name:" "$work/group" >>"$work/$layer/etc/group"
done
if [ "$other" = mariadb ]; then
	install -m 755 "$here/../image/mariadb-entrypoint.sh" "$work/$other/usr/local/bin/"
else
	install -m 755 "$here/mysql-entrypoint.sh" "$work/$other/usr/local/bin/"
	install -m 644 "$here/my.cnf" "$work/$other/etc/my.cnf"
fi
for layer in postgres $other; do
	tar -C "$work/$layer" --owner=0 --group=0 -cf "$work/$layer.tar" etc usr
done

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# From 18 on the data directory has the version in its path, and the volume is mounted above it.
case $postgres in
17) data=/var/lib/postgresql/data volume=/var/lib/postgresql/data ;;
*) data=/var/lib/postgresql/$postgres/docker volume=/var/lib/postgresql ;;
esac
postgres_config='{"Env":["PATH='$path:/usr/lib/postgresql/$postgres/bin'","LANG=en_US.utf8","PG_MAJOR='$postgres'","PG_VERSION='$postgres_version'","PGDATA='$data'"],"Entrypoint":["postgres-entrypoint.sh"],"Cmd":["postgres"],"Volumes":{"'$volume'":{}},"StopSignal":"SIGINT"}'
case $other in
mariadb) other_config='{"Env":["PATH='$path'","LANG=C.UTF-8","MARIADB_VERSION='$full_version'"],"Entrypoint":["mariadb-entrypoint.sh"],"Cmd":["mariadbd"],"Volumes":{"/var/lib/mysql":{}}}' ;;
mysql) other_config='{"Env":["PATH='$path'","MYSQL_MAJOR='$other_version'","MYSQL_VERSION='$full_version'"],"Entrypoint":["mysql-entrypoint.sh"],"Cmd":["mysqld"],"Volumes":{"/var/lib/mysql":{}}}' ;;
esac

oci_begin "$work/oci"
oci_layer "$work/root.tar" && root=$layer
oci_layer "$work/postgres.tar" && postgres_layer=$layer
oci_layer "$work/$other.tar" && other_layer=$layer
oci_image "docker.io/library/postgres:$postgres" "$postgres_config" "$root" "$postgres_layer"
oci_image "docker.io/library/$other:$other_version" "$other_config" "$root" "$other_layer"
oci_end "$archive"
printf 'postgres %s\n%s %s\n' "$postgres_version" "$other" "$full_version" >"${archive%/*}/versions"

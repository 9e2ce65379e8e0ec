#!/bin/sh
# mmdebstrap's setup hook: nothing may start while the packages are configured in the new root.
set -eu
mkdir -p "$1/usr/sbin" "$1/etc/postgresql-common"
printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
echo 'create_main_cluster = false' >"$1/etc/postgresql-common/createcluster.conf"

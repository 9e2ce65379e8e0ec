#!/bin/sh
# mmdebstrap's customize hook: takes out what no test needs, leaves the versions, and puts together the layers of the images
# that have busybox. Usage: trim.sh ROOT DIRECTORY
set -eu
root=$1 out=$2
# shellcheck disable=SC2016 # the ${…} are dpkg-query's
chroot "$root" dpkg-query --show --showformat '${Package} ${Version}\n' >"$out/versions"
rm -f "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root/etc/postgresql-common"

# needed PROGRAM...: the libraries that a program loads, and its loader, as paths below the root.
needed() { chroot "$root" ldd "$@" | sed -n 's|^[^/]*\(/[^ :]*\) (0x.*|\1|p' | sort -u; }

# add LAYER PATH...: these files, with what their links name.
add() {
	layer=$out/$1
	shift
	for file; do
		mkdir -p "$layer${file%/*}"
		cp -L "$root$file" "$layer$file"
	done
}

base=$out/base
mkdir -p "$base/tmp" "$base/root" "$base/bin" "$base/data" "$base/config" "$base/usr/local/bin"
chmod 1777 "$base/tmp"
# Alpine's busybox has printenv, Debian's has not. The lists are of words.
# shellcheck disable=SC2046
add base /bin/busybox /usr/bin/printenv /etc/ssl/certs/ca-certificates.crt $(needed /bin/busybox /usr/bin/printenv)
for applet in $(chroot "$root" /bin/busybox --list); do
	[ "$applet" = busybox ] || ln -s /bin/busybox "$base/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n' >"$base/etc/passwd"
printf 'root:x:0:\nnobody:x:65534:\n' >"$base/etc/group"
# shellcheck disable=SC2046
add restic /usr/bin/restic $(needed /usr/bin/restic)
# shellcheck disable=SC2046
add rclone $(needed /usr/bin/rclone)
mkdir -p "$out/rclone/usr/local/bin"
cp "$root/usr/bin/rclone" "$out/rclone/usr/local/bin/rclone"

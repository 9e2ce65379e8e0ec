#!/bin/bash
# busybox ash 1.35.0 (Debian 1:1.35.0-4+deb12u1+b1) and 1.37.0 (1:1.37.0-6+b9): a redirection that waits for the other end of a named
# pipe fails as soon as any child of the same shell ends, with "can't open pipe: Interrupted system call". The child need not have
# anything to do with the pipe, and no trap is set. busybox 1.38.0 (1:1.38.0-3+b1), dash 0.5.12 (0.5.12-2) and bash 5.2
# (5.2.15-2+b13) go on waiting, so a script that was tried with these fails in images with an older busybox, always or, where a
# child happens to end meanwhile, now and then. A script that has to work there opens a named pipe in a shell without other children.
#
# Unpacks the pinned packages in a temporary folder and runs the same script ten times in each shell. Ends with 0 if all of that is
# still so, with 1 if the behaviour changed, with 2 where a package cannot be downloaded.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
missing() { echo "cannot be tried: $1 cannot be downloaded"; exit 2; }
for package in busybox-static=1:1.35.0-4+deb12u1+b1 dash=0.5.12-2 bash=5.2.15-2+b13; do
  apt-get download -qq "$package" >/dev/null 2>&1 || missing "$package"
  dpkg-deb -x "${package%%=*}"_*.deb "${package%%=*}"
done
# Those of trixie and sid, from the same mirror; static, because they need a newer libc than bookworm's.
# shellcheck disable=SC2016 # a format of apt, no variable of the shell
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
for pinned in 1.37.0-6+b9=598a3fd92bdafc34cd81196b2952ad36e910e47a4ecf162f8ce5e8e262598e53 \
  1.38.0-3+b1=26801f17e6c88e813be104effc0ea3b43d912bd59ca6295fcd1260528ebb4d41; do
  version=${pinned%%=*}
  /usr/lib/apt/apt-helper download-file "${mirror}pool/main/b/busybox/busybox-static_${version}_amd64.deb" "$dir/$version.deb" \
    "SHA256:${pinned#*=}" >/dev/null 2>&1 || missing "busybox-static $version"
  dpkg-deb -x "$version.deb" "busybox-$version"
done
cat >script <<'END'
mkfifo pipe
sleep 0.1 &
(sleep 0.3; echo word >pipe) &
if read -r line <pipe; then echo "read $line"; else cat pipe >/dev/null; fi
wait
rm pipe
END
changed=0
# Says how often a shell printed the first word; it is to be each time.
expect() {
  local wanted=$1 times=0 said
  shift
  for _ in $(seq 10); do
    said=$("$@" script 2>&1)
    case $said in *"$wanted") times=$((times + 1)) ;; esac
  done
  echo "$*: '$wanted' $times of 10 times, the last time: $said"
  [ $times = 10 ] || changed=1
}
busybox() { find "$1" -type f -name busybox -perm -u+x; }
eintr="can't open pipe: Interrupted system call"
expect "$eintr" "$(busybox busybox-static)" sh
expect "$eintr" "$(busybox busybox-1.37.0-6+b9)" sh
expect 'read word' "$(busybox busybox-1.38.0-3+b1)" sh
expect 'read word' dash/bin/dash
expect 'read word' bash/bin/bash
exit $changed

#!/bin/bash
# MariaDB 10.11.19 (Debian 1:10.11.19-0+deb12u1): in batch mode the client prints the whole statement that failed to stderr, in front
# of the error, by default (--print-query-on-error). MySQL's client has no such option and prints only the error. So what a script
# keeps as the reason of a failed load holds the rows of an INSERT, and of a failed CREATE USER the hash of the password.
#
# Installs the pinned packages in a temporary folder and runs a server there, on a socket alone. Ends with 0 if that is still
# so, with 1 if the behaviour changed.
set -eu
version=1:10.11.19-0+deb12u1
dir=$(mktemp -d)
server=
clean() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server"; } || :
  rm -rf "$dir"
}
trap clean EXIT
cd "$dir"
chmod 755 .
apt-get download -qq "mariadb-server-core=$version" "mariadb-client=$version" "mariadb-client-core=$version" >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" tree; done
export PATH="$dir/tree/usr/bin:$dir/tree/usr/sbin:$PATH"
data=(--no-defaults "--basedir=$dir/tree/usr" "--lc-messages-dir=$dir/tree/usr/share/mysql" "--datadir=$dir/data")
[ "$(id -u)" != 0 ] || data+=(--user=root)
mariadb-install-db "${data[@]}" --auth-root-authentication-method=normal --skip-test-db >/dev/null 2>&1
mariadbd "${data[@]}" --skip-networking "--socket=$dir/socket" 2>"$dir/log" &
server=$!
sql() { mariadb --no-defaults "--socket=$dir/socket" -uroot --batch "$@"; }
for _ in $(seq 100); do ! sql -e 'SELECT 1' >/dev/null 2>&1 || break; sleep 0.1; done
# failing OPTION...: what the client says of a statement that fails, read from stdin as a dump is.
failing() { { echo "INSERT INTO nosuch.t VALUES ('a private row');" | sql "$@" >/dev/null; } 2>&1 || :; }
usual=$(failing)
without=$(failing --skip-print-query-on-error)
mariadb --no-defaults --version
printf 'as it is:\n%s\n\nwith --skip-print-query-on-error:\n%s\n' "$usual" "$without"
case $usual in *'a private row'*'ERROR 1146'*) ;; *) exit 1 ;; esac
case $without in *'a private row'*) exit 1 ;; *'ERROR 1146'*) ;; *) exit 1 ;; esac

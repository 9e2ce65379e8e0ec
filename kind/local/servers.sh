# shellcheck shell=sh disable=SC2154
# The images of newer database servers, one archive a Debian suite, made when a test asks for one. Sourced by local.sh.

servers_of() { echo "$CACHE/servers-$(uname -m)-$1-$(cd "$here" && cat servers/* image/oci.sh image/setup.sh image/*-entrypoint.sh | hash_of)"; }

# build_servers SUITE: the images of that suite's database servers into the cache, unless they are there. Exit code 4: they
# cannot be had.
build_servers() (
	servers=$(servers_of "$1")
	mkdir -p "$CACHE"
	exec 8>"$CACHE/lock"
	flock 8
	[ ! -d "$servers" ] || exit 0
	began=$(date +%s)
	need_packages mmdebstrap=mmdebstrap /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring
	say "making the images of Debian $1 (a minute or two, once); log: $CACHE/servers-$1.log"
	rm -rf "$CACHE/part-servers"
	trap 'rm -rf "$CACHE/part-servers"' EXIT
	trap 'exit 1' HUP INT TERM
	mkdir "$CACHE/part-servers"
	code=0
	"$here/servers/build.sh" "$1" "$CACHE/part-servers/images.tar" </dev/null >"$CACHE/servers-$1.log" 2>&1 8>&- || code=$?
	if [ "$code" != 0 ]; then
		say "making the images of Debian $1 failed: $(tail -n 5 "$CACHE/servers-$1.log")"
		exit "$code"
	fi
	mv -T "$CACHE/part-servers" "$servers"
	say "made in $(($(date +%s) - began)) s: $(paste -sd , "$servers/versions")"
)

# The cluster remembers what it imported, for an archive of 400 MB takes some seconds.
server() {
	case $1 in
	postgres:17 | mariadb:11.8) suite=trixie ;;
	postgres:18 | mysql:9.7) suite=sid ;;
	*) die "no image is made for $1 (only postgres:17, postgres:18, mariadb:11.8, mysql:9.7)" ;;
	esac
	build_servers "$suite" || exit
	servers=$(servers_of "$suite")
	[ "$(cat "$STATE/servers-$suite" 2>/dev/null)" != "$servers" ] || return 0
	import_image "$servers/images.tar"
	echo "$servers" >"$STATE/servers-$suite"
}

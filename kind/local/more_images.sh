# shellcheck shell=sh disable=SC2154,SC2164
# The images beside those that each cluster has: newer database servers, the tools of `export`, an S3 server. Each archive is
# made once, when a test asks for one of its images. Sourced by local.sh.

# archive_with IMAGE: the archive that holds it.
archive_with() {
	case $1 in
	postgres:17 | mariadb:11.8) echo servers-trixie ;;
	postgres:18 | mysql:9.7) echo servers-sid ;;
	restic/restic:0.14.0 | rclone/rclone:1.60.1 | backup-ns/remotes:12) echo remotes ;;
	backup-ns/s3:1) echo s3 ;;
	*) die "no image is made for $1 (only $MORE_IMAGES)" ;;
	esac
}

# cached ARCHIVE: its directory in the cache, named by what it is made of.
cached() {
	sources=$(
		cd "$here"
		case $1 in
		servers-*) cat servers/* image/oci.sh image/setup.sh image/*-entrypoint.sh ;;
		remotes) cat remotes/* image/oci.sh image/setup.sh ;;
		s3) cat s3/* image/oci.sh ;;
		esac | hash_of
	)
	echo "$CACHE/${1%%-*}-$(uname -m)${1#"${1%%-*}"}-$sources"
}

# make_archive ARCHIVE FILE
make_archive() {
	case $1 in
	servers-*) "$here/servers/build.sh" "${1#servers-}" "$2" ;;
	*) "$here/$1/build.sh" "$2" ;;
	esac
}

# build_archive ARCHIVE: its images into the cache, unless they are there. Exit code 4: they cannot be had.
build_archive() (
	directory=$(cached "$1")
	mkdir -p "$CACHE"
	exec 8>"$CACHE/lock"
	flock 8
	[ ! -d "$directory" ] || exit 0
	began=$(date +%s)
	if [ "$1" = s3 ]; then
		need_go
	else
		need_packages mmdebstrap=mmdebstrap /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring
	fi
	say "making the images $1 (a minute or two, once); log: $CACHE/$1.log"
	rm -rf "$CACHE/part-more"
	trap 'rm -rf "$CACHE/part-more"' EXIT
	trap 'exit 1' HUP INT TERM
	mkdir "$CACHE/part-more"
	code=0
	make_archive "$1" "$CACHE/part-more/images.tar" </dev/null >"$CACHE/$1.log" 2>&1 8>&- || code=$?
	if [ "$code" != 0 ]; then
		say "making the images $1 failed: $(tail -n 5 "$CACHE/$1.log")"
		exit "$code"
	fi
	mv -T "$CACHE/part-more" "$directory"
	say "made in $(($(date +%s) - began)) s: $(paste -sd , "$directory/versions")"
)

# The cluster remembers what it imported, for an archive of 400 MB takes some seconds.
have_image() {
	archive=$(archive_with "$1") || exit
	build_archive "$archive" || exit
	directory=$(cached "$archive")
	[ "$(cat "$STATE/$archive" 2>/dev/null)" != "$directory" ] || return 0
	import_image "$directory/images.tar"
	echo "$directory" >"$STATE/$archive"
}

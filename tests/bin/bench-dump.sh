#!/bin/sh
# Measures `create`: what it costs beside the dump, and the dump with its proof against the bare tools in the same container.
# Started by bench.sh.
set -eu
# shellcheck source=SCRIPTDIR/bench-common.sh
. "$(dirname "$0")/bench-common.sh"
namespace=
trap 'rm -rf "$work"; remove_namespace' EXIT
trap 'exit 1' HUP INT TERM

# inside SCRIPT: in the database's container.
inside() { k exec deploy/app-base -c "$container" -- bash -ec "set -o pipefail; $1"; }

# --- The databases.

remove_namespace() {
	[ -z "$namespace" ] || "$real" delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null
	namespace=
}

# database ENGINE IMAGE: that of the demo, in a namespace of its own. The scripts are for the container's shell.
# shellcheck disable=SC2016
database() {
	engine=$1 image=$2
	case $engine in
	postgres)
		manifest=postgres container=postgres directory=/var/lib/postgresql/data variable=BAK_DB_POSTGRES_DUMP_FILE
		tool=pg_dump bare='PGPASSWORD=$POSTGRES_PASSWORD pg_dump -h 127.0.0.1 -U app --clean --if-exists app'
		client='PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -Xq -v ON_ERROR_STOP=1'
		;;
	mysql)
		manifest=mariadb container=mysql directory=/var/lib/mysql variable=BAK_DB_MYSQL_DUMP_FILE
		tool=mariadb-dump bare='MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb-dump -h 127.0.0.1 -u root --single-transaction app'
		client='MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h 127.0.0.1 -u root app'
		;;
	esac
	remove_namespace
	namespace=bench-dump-$$-$(echo "$image" | tr -c 'a-z0-9\n' -)
	demo "$manifest" "$image"
}

# enlarge: adds a table of some 300 MB as text, as of orders: numbers, a code, a time, a place and some words.
enlarge() {
	case $engine in
	postgres)
		cat <<-SQL
			$(orders bulk 2350000)
			VACUUM ANALYZE bulk;
			CHECKPOINT;
		SQL
		;;
	mysql)
		cat <<-SQL
			SET @w = '$words';
			CREATE TABLE bulk AS SELECT i, hex(h & 0xffffffff) code, h % 1000000 customer, round(h % 999983 / 100, 2) amount,
				timestamp '2026-01-01 00:00:00' + INTERVAL i * 13 SECOND placed,
				round(h % 180000017 / 1000000 - 90, 6) latitude, round(h % 360000023 / 1000000 - 180, 6) longitude,
				concat($(note "substring_index(substring_index(@w, ' ', 1 + (h >> SHIFT & 31)), ' ', -1)")) note
				FROM (SELECT seq i, conv(left(md5(seq), 12), 16, 10) + 0 h FROM seq_1_to_2350000) a;
			FLUSH TABLES bulk FOR EXPORT;
			UNLOCK TABLES;
		SQL
		;;
	esac | k exec -i deploy/app-base -c "$container" -- sh -c "$client"
}

# --- One run.

# cpu: seconds of CPU that the container has used so far.
cpu() {
	# shellcheck disable=SC2016 # for the container's shell
	inside 'cat /sys/fs/cgroup/cpu.stat 2>/dev/null || echo "nanoseconds $(cat /sys/fs/cgroup/cpuacct/cpuacct.usage)"' |
		awk '$1 == "usage_usec" { print $2 / 1e6 } $1 == "nanoseconds" { print $2 / 1e9 }'
}

# used BEFORE: how many more it has used since.
used() { awk -v a="$1" -v b="$(cpu)" 'BEGIN { printf "%.1f\n", b - a }'; }

# create WHO BINARY FORMAT: a backup. Appends to WHO.dump (seconds of dump and proof), WHO.cpu and WHO.bytes too.
create() {
	before=$(cpu)
	export "$variable=$directory/dump.sql.$3"
	run "$1" "$2" create -n "$namespace" "--db-$engine" -o json
	unset "$variable"
	used "$before" >>"$work/$1.cpu"
	[ "$(step dump)" != 0 ] || die "the log of create has no step dump"
	dump_and_proof >>"$work/$1.dump"
	# The file of the roles, which has bytes of its own, is smaller.
	field "$work/out" bytes | most >>"$work/$1.bytes"
	delete_snapshot "$namespace" "$work/out"
}

# bare WHO SHELL-TEXT: the dump tool with that behind it. Appends to WHO.dump and WHO.cpu. What it wrote is flushed afterwards, so
# that the next run need not flush it.
bare() {
	before=$(cpu)
	inside "began=\$(date +%s%N); $bare $2; echo \"\$began \$(date +%s%N)\"; rm -f $directory/bare.dump; sync" |
		awk '{ printf "%.2f\n", ($2 - $1) / 1e9 }' >>"$work/$1.dump"
	used "$before" >>"$work/$1.cpu"
}

# memory FORMAT: "NAME KiB" for each program of a dump of ours in the container: its peak. Watching costs CPU, so it has a run of
# its own, of which no time is taken.
memory() {
	# shellcheck disable=SC2016 # for the container's shell
	inside 'touch /tmp/watch
		read -r server </proc/1/comm
		while [ -e /tmp/watch ]; do
			for process in /proc/[0-9]*; do
				read -r name <$process/comm || continue
				case $name in "$server" | bash | sleep | runc* | pg_isready | mariadb-admin) continue ;; esac
				while read -r key value _; do
					[ "$key" != VmHWM: ] || echo "$name $value"
				done <$process/status || continue
			done
			sleep 0.1
		done 2>/dev/null' >"$work/watched" &
	watching=$!
	create watched "$ours" "$1"
	inside 'rm /tmp/watch'
	wait "$watching"
	awk '$2 > peak[$1] { peak[$1] = $2 } END { for (name in peak) print name, peak[name] }' "$work/watched" | sort -k 2nr
}

# --- The comparison.

dump_seconds() { median <"$work/$1.dump"; }
dump_cpu() { median <"$work/$1.cpu"; }

# line WHO LABEL: the figures of backups, or of a bare tool, if it has any.
line() {
	[ -e "$work/$1.dump" ] || return 0
	[ ! -e "$work/$1.bytes" ] && megabytes= || megabytes=$(median <"$work/$1.bytes" | awk '{ printf ", %.1f MB", $1 / 1e6 }')
	echo "  $2: $(dump_seconds "$1") s, $(dump_cpu "$1") CPU seconds in the container$megabytes"
}

# compare FORMAT...: in one container, in turn, BASE's .gz, ours in each format, and the bare tools.
compare() {
	enlarge
	rm -f "$work"/*.dump "$work"/*.cpu "$work"/*.bytes
	size=$(inside "$bare | wc -c")
	for _ in $(seq "$RUNS"); do
		[ -z "$BASE" ] || create base "$BASE" gz
		bare null '>/dev/null'
		for format; do
			create "$format" "$ours" "$format"
			case $format in
			gz) bare bare-gz "| gzip -1 >$directory/bare.dump" ;;
			zst) bare bare-zst "| zstd -q -3 >$directory/bare.dump" ;;
			esac
		done
	done
	echo "dump and proof with $image: $((size / 1000000)) MB of text (medians of $RUNS rounds)"
	line base 'base .sql.gz'
	for format; do line "$format" "ours .sql.$format"; done
	line null "bare $tool >/dev/null"
	line bare-gz "bare $tool | gzip -1 >file"
	line bare-zst "bare $tool | zstd -3 >file"
	for format; do
		echo "  ours .sql.$format takes $(ratio "$(dump_seconds "$format")" "$(dump_seconds null)") times as long as bare $tool >/dev/null"
	done
}

# than_base FORMAT LIMIT: the target that a dump in that format is so many times as fast as BASE's.
than_base() {
	[ -z "$BASE" ] || target ".sql.$1, times as fast as base's .sql.gz" "$(ratio "$(dump_seconds base)" "$(dump_seconds "$1")")" least "$2"
}

half_the_cpu() {
	[ -z "$BASE" ] || target ".sql.gz, CPU seconds in the container as a part of base's" "$(ratio "$(dump_cpu gz)" "$(dump_cpu base)")" most 0.50
}

# bounded FORMAT LIMIT: the target for the memory of each program in the container but the database's own.
bounded() {
	memory "$1" >"$work/programs"
	echo "  ours .sql.$1, peak memory in the container in KiB: $(tr '\n' ',' <"$work/programs" | sed 's/,$//; s/,/, /g')"
	target ".sql.$1, MiB of the largest program but the database's own" \
		"$(grep -Ev '^(pg_|psql|mariadb|mysql)' "$work/programs" | awk 'NR == 1 { printf "%.1f", $2 / 1024 }')" most "$2"
}

database postgres postgres:15
for _ in $(seq "$RUNS"); do
	create ours "$ours" gz
	awk -v all="$(field "$work/out" seconds)" -v dump="$(step dump)" -v cut="$(step cut)" -v ready="$(step ready)" \
		'BEGIN { printf "%.2f\n", all - dump - cut - ready }' >>"$work/overhead"
done
echo "create of the demo database (medians of $RUNS)"
echo "  ours: $(figures ours), $(median <"$work/overhead") s without dump, cut and readiness"
compare gz zst
than_base gz 2.3
half_the_cpu
than_base zst 6
target ".sql.zst, times as long as bare pg_dump | zstd -3 >file" "$(ratio "$(dump_seconds zst)" "$(dump_seconds bare-zst)")" most 1.4
bounded gz 8
bounded zst 36

database postgres postgres:15-pigz
compare gz
than_base gz 2.2
half_the_cpu
bounded gz 8

database mysql mariadb:10.11
compare zst
than_base zst 2.5
bounded zst 36

#!/bin/sh
# Measures exports: what 30 nights of a database cost in a repository of restic, by the form of the dump that restic gets. Started
# by bench.sh.
#   NIGHTS=30   how many nights
set -eu
# shellcheck source=SCRIPTDIR/bench-common.sh
. "$(dirname "$0")/bench-common.sh"
namespace=bench-export-$$
trap 'rm -rf "$work"; "$real" delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null' EXIT
trap 'exit 1' HUP INT TERM
nights=${NIGHTS:-30}
export RESTIC_PASSWORD=bench

# shellcheck disable=SC2016 # for the shell of the container
sql() { k exec -i deploy/app-base -c postgres -- sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -Xq -v ON_ERROR_STOP=1'; }

# --- Nights: four tables, of which one has a hundredth of its rows changed each night, at random places.

# repository FORM: restic on its repository.
repository() {
	form=$1
	shift
	restic --repo "$work/$form" --no-cache --quiet "$@"
}

# packed FORM: the dump in that form.
packed() {
	case $1 in
	plain | max) cat "$work/dump.sql" ;;
	gz) gzip -6 -c "$work/dump.sql" ;;
	gz-rsyncable) gzip -6 --rsyncable -c "$work/dump.sql" ;;
	zst) zstd -q -3 -c "$work/dump.sql" ;;
	zst-rsyncable) zstd -q -3 --rsyncable -c "$work/dump.sql" ;;
	esac
}

forms='plain max gz gz-rsyncable zst zst-rsyncable'
demo postgres postgres:15
for table in 1 2 3 4; do orders "t$table" 100000 "${table}00001"; done | sql
for form in $forms; do repository "$form" init; done
for night in $(seq "$nights"); do
	[ "$night" = 1 ] || echo "UPDATE t$((1 + night % 4)) SET amount = amount + 1, note = reverse(note) WHERE random() < 0.01; VACUUM;" | sql
	# shellcheck disable=SC2016 # for the container's shell
	k exec deploy/app-base -c postgres -- sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec pg_dump -h 127.0.0.1 -U app -t "t?" app' >"$work/dump.sql"
	for form in $forms; do
		[ "$form" != max ] || export RESTIC_COMPRESSION=max
		packed "$form" | repository "$form" backup --host=bench --stdin --stdin-filename=dump.sql
		unset RESTIC_COMPRESSION
		du -s --block-size=1 "$work/$form/data" | cut -f 1 >>"$work/$form.sizes"
	done
done
echo "$nights nights of $(($(wc -c <"$work/dump.sql") / 1000000)) MB, a hundredth of the rows of one of four tables changed each night"
for form in $forms; do
	first=$(head -n 1 "$work/$form.sizes") last=$(tail -n 1 "$work/$form.sizes")
	echo "  $form: $((first / 1000000)) MB after the first night, $((last / 1000000)) MB after the last: $(ratio "$last" "$first") times"
done
target "plain text into restic, size after $nights nights as a multiple of the first" \
	"$(ratio "$(tail -n 1 "$work/plain.sizes")" "$(head -n 1 "$work/plain.sizes")")" most 9.5

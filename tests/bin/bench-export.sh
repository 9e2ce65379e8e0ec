#!/bin/sh
# Measures exports: one of 300 MB of text beside the bare restic, and what 30 nights of a database cost in a repository of restic, by
# the form of the dump that restic gets. Started by bench.sh.
#   NIGHTS=30   how many nights; 0 for none
set -eu
# shellcheck source=SCRIPTDIR/bench-common.sh
. "$(dirname "$0")/bench-common.sh"
namespace=bench-export-$$
trap 'rm -rf "$work"; "$real" delete namespace "$namespace" --ignore-not-found --wait=false >/dev/null' EXIT
trap 'exit 1' HUP INT TERM
nights=${NIGHTS:-30}
export RESTIC_PASSWORD=bench

# --- One export: 300 MB of text to a server on this machine, beside `restic backup` of the same dump, with the same restic.

# sum_of STEP...: the seconds of all steps of these names in the JSON log.
sum_of() {
	for name; do
		sed -n "s/.*\"step\":\"$name\".*\"seconds\":\([0-9.]*\).*/\1/p; s/.*\"seconds\":\([0-9.]*\).*\"step\":\"$name\".*/\1/p" "$work/log"
	done | awk '{ sum += $1 } END { printf "%.2f\n", sum }'
}

# serve: a server of restic's protocol in a pod; sets $server.
serve() {
	for image in backup-ns/remotes:12 restic/restic:0.14.0; do kind/cluster.sh image "$image" || die "no image $image"; done
	k run server --image=backup-ns/remotes:12 --image-pull-policy=IfNotPresent -- rclone serve restic --addr :8080 /tmp/served >/dev/null
	k wait pod/server --for=condition=Ready --timeout=120s >/dev/null
	server=$(k get pod server -o 'jsonpath={.status.podIP}'):8080
	until curl -s -o "$work/answer" "http://$server/"; do sleep 0.2; done
}

# one_export NUMBER: of both, each into a new repository.
one_export() {
	export RESTIC_REPOSITORY="rest:http://$server/bare$1"
	restic --no-cache --quiet init
	began=$(now)
	gzip -dc "$work/dump.sql.gz" | restic --no-cache --quiet backup --host=bench --stdin --stdin-filename=dump.sql
	since "$began" >>"$work/bare.seconds"
	export RESTIC_REPOSITORY="rest:http://$server/ours$1"
	restic --no-cache --quiet init
	k create secret generic export "--from-literal=RESTIC_REPOSITORY=$RESTIC_REPOSITORY" "--from-literal=RESTIC_PASSWORD=$RESTIC_PASSWORD" \
		--dry-run=client -o yaml | k apply -f - >/dev/null
	run ours "$ours" export "$snapshot" -n "$namespace" --export-image restic/restic:0.14.0 --export-secret export --again -o json
	sum_of check send >>"$work/sent.seconds"
	sum_of check send compare >>"$work/proven.seconds"
	unset RESTIC_REPOSITORY
}

demo postgres postgres:15
orders bulk 2350000 | sql
"$ours" create -n "$namespace" --db-postgres -o json >"$work/backup" 2>"$work/log" || die "create: $(tail -n 5 "$work/log")"
snapshot=$(snapshot_of "$work/backup")
k exec deploy/app-base -c postgres -- cat /var/lib/postgresql/data/dump.sql.gz >"$work/dump.sql.gz"
serve
for number in $(seq "$RUNS"); do one_export "$number"; done
echo "export of $(($(gzip -dc "$work/dump.sql.gz" | wc -c) / 1000000)) MB of text (medians of $RUNS)"
echo "  bare gzip -dc | restic backup: $(seconds bare) s"
echo "  ours: checked and sent $(seconds sent) s, read back and compared too $(seconds proven) s, all of it $(figures ours)"
target "checked and sent, as a multiple of the bare restic" "$(ratio "$(seconds sent)" "$(seconds bare)")" most 1.3
target "read back and compared too, as a multiple of the bare restic" "$(ratio "$(seconds proven)" "$(seconds bare)")" most 1.9
target "peak memory of ours in KiB" "$(most <"$work/ours.memory")" most 20480
delete_snapshot "$namespace" "$work/backup"
[ "$nights" != 0 ] || exit 0

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
echo 'DROP TABLE bulk;' | sql
for table in 1 2 3 4; do orders "t$table" 200000 "${table}000001"; done | sql
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

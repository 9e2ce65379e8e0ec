#!/bin/sh
# Measures `create` on the cluster and prints figures; it judges nothing. Each run is paired with the bare pipeline in
# the same container, so that the ratio holds on a noisy machine.
set -eu
cd "$(dirname "$0")/../.."
runs=${RUNS:-5}
binary=$PWD/target/release/backup-ns
work=$(mktemp -d)
namespace=bench-$$

kind/cluster.sh up >&2
environment=$(kind/cluster.sh env)
eval "$environment"
real=$(command -v kubectl)
trap 'rm -rf "$work"; "$real" delete namespace "$namespace" --wait=false >/dev/null' EXIT

# A kubectl that counts.
mkdir "$work/bin"
cat >"$work/bin/kubectl" <<COUNTING
#!/bin/sh
echo "\$1" >>"$work/calls"
exec "$real" "\$@"
COUNTING
chmod +x "$work/bin/kubectl"

k() { "$real" -n "$namespace" "$@"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
field() { sed -n "s/^ *\"$2\": \([0-9.]*\).*/\1/p" "$1"; }
# step LOG NAME: the seconds of a step in a JSON log.
step() { sed -n "s/.*\"step\":\"$2\".*\"seconds\":\([0-9.]*\).*/\1/p; s/.*\"seconds\":\([0-9.]*\).*\"step\":\"$2\".*/\1/p" "$1" | head -n 1; }

echo "machine: $(nproc) CPUs, $(uname -sr), $("$real" version 2>/dev/null | sed -n 's/^Server Version: //p')"
echo "binary: $(wc -c <"$binary") bytes stripped"
hyperfine --shell=none --warmup 20 --runs 200 --export-json "$work/start.json" "$binary --version" >/dev/null 2>&1
echo "start-up: $(sed -n 's/^ *"median": \([0-9.e-]*\).*/\1/p' "$work/start.json" | awk '{ printf "%.2f ms", $1 * 1000 }') (median of 200)"

# database IMAGE: a fresh one of some 300 MB of text.
database() {
	k delete deployment/app-base --ignore-not-found --wait >/dev/null
	k delete pvc/data --ignore-not-found --wait >/dev/null
	sed "s#image: postgres:15#image: $1#; s#storage: 1Gi#storage: 3Gi#" kind/demo/postgres.yaml | k apply -f - >/dev/null
	k rollout status deployment/app-base --timeout=180s >/dev/null
	# shellcheck disable=SC2016 # for the container's shell
	k exec -i deploy/app-base -c postgres -- sh -c \
		'PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -U app -d app -Xq' <<'SQL'
CREATE TABLE bulk AS SELECT i, md5(i::text) a, repeat(md5((i % 5000)::text), 3) b, now() + i * interval '1 second' c FROM generate_series(1, 1500000) i;
CHECKPOINT;
SQL
}

# bare: seconds of pg_dump | gzip in the container, as somebody would type it.
# shellcheck disable=SC2016 # for the container's shell
bare() {
	k exec deploy/app-base -c postgres -- bash -c 'export PGPASSWORD=$POSTGRES_PASSWORD PGHOST=127.0.0.1 PGUSER=app PGDATABASE=app
		began=$(date +%s%N); pg_dump --clean --if-exists | gzip >/var/lib/postgresql/data/bare.sql.gz
		ended=$(date +%s%N); rm /var/lib/postgresql/data/bare.sql.gz; echo "$began $ended"' |
		awk '{ printf "%.3f\n", ($2 - $1) / 1e9 }'
}

ours() {
	: >"$work/calls"
	PATH="$work/bin:$PATH" "$binary" create -n "$namespace" --db-postgres -o json --log-format json \
		>"$work/out" 2>"$work/log" &
	pid=$!
	# Its own peak, without that of the kubectls that it waits for.
	while sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" >"$work/now" 2>/dev/null; do
		[ ! -s "$work/now" ] || mv "$work/now" "$work/memory"
		sleep 0.05
	done
	wait "$pid"
}

"$real" create namespace "$namespace" >/dev/null
k apply -f kind/demo/postgres.yaml >/dev/null
k rollout status deployment/app-base --timeout=180s >/dev/null
for _ in $(seq "$runs"); do
	ours
	awk -v all="$(field "$work/out" seconds)" -v dump="$(step "$work/log" dump)" -v cut="$(step "$work/log" cut)" \
		-v ready="$(step "$work/log" ready)" 'BEGIN { print all - dump - cut - ready }' >>"$work/overhead"
	cat "$work/memory" >>"$work/peak"
	wc -l <"$work/calls" >>"$work/count"
done
echo "create of the demo database: $(median <"$work/count") kubectl processes, fixed overhead $(median <"$work/overhead") s (all less dump, cut and readiness), peak memory $(median <"$work/peak") KiB (medians of $runs)"

for image in postgres:15 postgres:15-pigz; do
	database "$image"
	: >"$work/bare"
	: >"$work/ours"
	: >"$work/ratio"
	for _ in $(seq "$runs"); do
		b=$(bare)
		ours
		o=$(field "$work/out" dumpSeconds)
		echo "$b" >>"$work/bare"
		echo "$o" >>"$work/ours"
		awk -v b="$b" -v o="$o" 'BEGIN { printf "%.3f\n", b / o }' >>"$work/ratio"
	done
	echo "dump with $image: $(median <"$work/ours") s against $(median <"$work/bare") s of a bare pg_dump | gzip, throughput ratio $(median <"$work/ratio") (medians of $runs pairs)"
done

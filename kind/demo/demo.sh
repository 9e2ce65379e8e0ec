#!/bin/sh
# The main job from end to end: a cluster, a database in it, a backup, the proof that it can be restored, a disaster, and
# the recovery. DB=postgres (the default) or DB=mariadb.
set -eu
cd "$(dirname "$0")/../.."
# The client's command line is the container's to expand, with the container's own password.
# shellcheck disable=SC2016
case ${DB:-postgres} in
postgres)
	namespace=demo database=PostgreSQL manifest=postgres.yaml flag=--db-postgres
	client='PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -XAtq -v ON_ERROR_STOP=1'
	;;
mariadb)
	namespace=demo-mariadb database=MariaDB manifest=mariadb.yaml flag=--db-mysql
	client='MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h127.0.0.1 -uroot -N "$MARIADB_DATABASE"'
	;;
*)
	echo "demo: error: DB is '$DB'; accepted: postgres, mariadb" >&2
	exit 2
	;;
esac

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
k() { kubectl -n "$namespace" "$@"; }
b() { target/release/backup-ns "$@"; }
sql() { printf '%s' "$1" | k exec -i deploy/app-base -- sh -c "$client"; }

step "1. A cluster with CSI snapshots (kind/cluster.sh up)"
kind/cluster.sh up
environment=$(kind/cluster.sh env)
eval "$environment"

step "2. A namespace with a $database of 300,000 rows and a large object (kind/demo/$manifest)"
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f -
k apply -f "kind/demo/$manifest"
k rollout status deployment/app-base --timeout=180s

step "3. The backup: backup-ns create -n $namespace $flag"
summary=$(b create -n "$namespace" "$flag")
printf '%s\n' "$summary"
snapshot=$(printf '%s\n' "$summary" | sed -n 's/^ *snapshot  *\([^ ]*\).*/\1/p')

step "4. The proof, from the snapshot itself: backup-ns verify $snapshot -n $namespace"
b verify "$snapshot" -n "$namespace"
b list -n "$namespace"

step "5. The disaster: DROP TABLE orders CASCADE"
question='SELECT count(*), sum(cents) FROM orders'
before=$(sql "$question")
sql 'DROP TABLE orders CASCADE'
if sql "$question" 2>/dev/null; then
	echo "demo: error: the table is still there" >&2
	exit 1
fi
echo "the table of $before (rows, sum) is gone"

step "6. The recovery: backup-ns restore $snapshot -n $namespace --in-place --yes"
b restore "$snapshot" -n "$namespace" --in-place --yes
after=$(sql "$question")
echo "orders before: $before"
echo "orders now:    $after"
[ "$before" = "$after" ] || {
	echo "demo: error: the rows are not what they were" >&2
	exit 1
}

step "Done. The cluster stays up: eval \"\$(kind/cluster.sh env)\" to look at it, make cluster-down to remove it"

#!/bin/sh
# The main job from end to end: a cluster, a database in it, a backup, and the proof from the snapshot itself that the
# dump is in it. DB=postgres (the default) or DB=mariadb.
set -eu
cd "$(dirname "$0")/../.."
case ${DB:-postgres} in
postgres) namespace=demo database=PostgreSQL manifest=postgres.yaml flag=--db-postgres annotation=dump-postgres image=postgres:15 ;;
mariadb) namespace=demo-mariadb database=MariaDB manifest=mariadb.yaml flag=--db-mysql annotation=dump-mysql image=mariadb:10.11 ;;
*)
	echo "demo: error: DB is '$DB'; accepted: postgres, mariadb" >&2
	exit 2
	;;
esac

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
k() { kubectl -n "$namespace" "$@"; }

step "1. A cluster with CSI snapshots (kind/cluster.sh up)"
kind/cluster.sh up
environment=$(kind/cluster.sh env)
eval "$environment"

step "2. A namespace with a $database of 300,000 rows and a large object (kind/demo/$manifest)"
kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f -
k apply -f "kind/demo/$manifest"
k rollout status deployment/app-base --timeout=180s

step "3. The backup: backup-ns create -n $namespace $flag"
summary=$(target/release/backup-ns create -n "$namespace" "$flag")
printf '%s\n' "$summary"
snapshot=$(printf '%s\n' "$summary" | sed -n 's/^ *snapshot  *\([^ ]*\).*/\1/p')

step "4. The snapshots of the namespace: kubectl -n $namespace get volumesnapshots"
k get volumesnapshots -L backup-ns.sh/type,backup-ns.sh/delete-after

step "5. A volume made from the snapshot $snapshot, and the dump in it"
proof=$(k get volumesnapshot "$snapshot" -o "jsonpath={.metadata.annotations.backup-ns\\.sh/$annotation}")
said=$(printf '%s' "$proof" | sed 's/.*"sha256":"\([0-9a-f]*\)".*/\1/')
k delete pod/proof pvc/proof --ignore-not-found --grace-period=1 >/dev/null
k apply -f - <<MANIFEST
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: proof}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: $snapshot}
---
apiVersion: v1
kind: Pod
metadata: {name: proof}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: proof
      image: $image
      imagePullPolicy: IfNotPresent
      command: [sleep, infinity]
      volumeMounts: [{name: restored, mountPath: /restored}]
  volumes: [{name: restored, persistentVolumeClaim: {claimName: proof}}]
MANIFEST
k wait pod/proof --for=condition=Ready --timeout=120s
found=$(k exec proof -- sha256sum /restored/dump.sql.gz | cut -d ' ' -f 1)
echo "SHA-256 that the snapshot's annotation proves: $said"
echo "SHA-256 of dump.sql.gz in the restored volume: $found"
[ "$said" = "$found" ] || {
	echo "demo: error: the snapshot does not hold the dump" >&2
	exit 1
}
echo "its last lines:"
k exec proof -- sh -c 'gzip -dc /restored/dump.sql.gz | tail -n 6'
k delete pod/proof pvc/proof --grace-period=1 >/dev/null

step "Done. The cluster stays up: eval \"\$(kind/cluster.sh env)\" to look at it, make cluster-down to remove it"

#!/bin/sh
# Renders the chart into plain YAML, for those who go without Helm: target/manifests/namespace.yaml, the backup of a namespace,
# and cluster.yaml, what prunes the cluster. NAMESPACE is the one to back up (default), DB what it runs (postgres, mysql or
# skip). Another namespace later: sed 's/namespace: default/namespace: shop/'.
set -eu
cd "$(dirname "$0")/.."

namespace=${NAMESPACE:-default}
case ${DB:-postgres} in
postgres) database=config.dbPostgres=true ;;
mysql) database=config.dbMysql=true ;;
skip) database=config.dbSkip=true ;;
*)
	echo "manifests: error: DB is '$DB'; accepted: postgres, mysql, skip" >&2
	exit 2
	;;
esac
command -v helm >/dev/null || {
	tools=$(tests/bin/tools.sh)
	PATH=$tools:$PATH
}

# render NAMESPACE VALUE: what is Helm's own is taken out.
render() {
	helm template backup-ns charts/backup-ns --namespace "$1" --no-hooks --set "$2" |
		sed '/^ *helm.sh\/chart:/d; /^ *app.kubernetes.io\/managed-by: Helm$/d; /^# Source:/d'
}
mkdir -p target/manifests
render "$namespace" "$database" >target/manifests/namespace.yaml
{
	printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: backup-ns}\n'
	render backup-ns backup.enabled=false,cluster.enabled=true
} >target/manifests/cluster.yaml
echo target/manifests/namespace.yaml target/manifests/cluster.yaml

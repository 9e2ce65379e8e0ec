#!/bin/sh
# The chart: helm lint, what it renders for each tests/chart/*.values.yaml against the golden file beside it, that against
# the API of every Kubernetes in tests/schemas and kube-score, what it must refuse, and its README, whose table is made of
# values.yaml.
# UPDATE=1 writes the golden files and the README anew.
set -eu
cd "$(dirname "$0")/../.."
tools=$(tests/bin/tools.sh)
PATH=$tools:$PATH
chart=charts/backup-ns
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
	echo "chart: error: $*" >&2
	exit 1
}

# conforms FILE NAME: every Kubernetes would take these manifests.
conforms() {
	for version in $versions; do
		kubeconform -strict -kubernetes-version "$version" \
			-schema-location 'tests/schemas/{{ .NormalizedKubernetesVersion }}.json' "$1" ||
			fail "Kubernetes $version would refuse $2"
	done
}

# scores FILE: kube-score finds nothing but what docs/security-checks.md answers; where values can settle that, hardened does.
scores() {
	set -- "$1" --ignore-test=deployment-strategy --ignore-test=deployment-replicas \
		--ignore-test=networkpolicy-targets-pod
	case $1 in
	*/hardened.golden.yaml) ;;
	*) set -- "$@" --ignore-container-cpu-limit --ignore-test=container-image-pull-policy \
		--ignore-test=container-security-context-user-group-id --ignore-test=pod-networkpolicy ;;
	esac
	kube-score score --kubernetes-version v1.36 --exit-one-on-warning --output-format ci "$@" >"$work/score.txt" || {
		grep -E '^\[(WARNING|CRITICAL)\]' "$work/score.txt"
		fail "kube-score finds fault with $1"
	}
}

versions=$(printf '%s\n' tests/schemas/v*.json | sed 's|.*/v||; s|\.json$||')
cases=0
for values in tests/chart/*.values.yaml; do
	golden=${values%.values.yaml}.golden.yaml
	helm lint --strict --quiet --values "$values" "$chart" || fail "helm lint refuses $values"
	helm template backup-ns "$chart" --namespace shop --values "$values" >"$work/rendered.yaml" || fail "$values is not rendered"
	[ "${UPDATE-}" != 1 ] || cp "$work/rendered.yaml" "$golden"
	diff -u "$golden" "$work/rendered.yaml" || fail "$values: not what $golden says; if it should be, UPDATE=1 tests/bin/chart.sh"
	conforms "$work/rendered.yaml" "what $values makes"
	scores "$golden"
	cases=$((cases + 1))
done

# takes ARGUMENT...: with these arguments the chart renders what every Kubernetes would take.
takes() {
	helm template y "$chart" --namespace shop "$@" >"$work/rendered.yaml" || fail "the chart refuses $*"
	conforms "$work/rendered.yaml" "what $* makes"
	cases=$((cases + 1))
}

# refuses WORDS ARGUMENT...: with these arguments the chart says WORDS and renders nothing.
refuses() {
	words=$1
	shift
	! helm template backup-ns "$chart" --namespace shop "$@" >"$work/rendered.yaml" 2>"$work/said" ||
		fail "the chart takes $*"
	grep -qF -- "$words" "$work/said" || fail "for $* it says: $(cat "$work/said")"
	! grep -q literal "$work/said" || fail "it shows a password: $(cat "$work/said")"
	cases=$((cases + 1))
}
refuses 'nothing says what to back up'
refuses 'nothing says what to back up' --set config.dbPostgres=false
refuses "additional properties 'dbPostgress' not allowed" --set config.dbSkip=true,config.dbPostgress=true
refuses "additional properties 'scheduel' not allowed" --set config.dbSkip=true --set-string 'scheduel=@daily'
refuses "'/schedule'" --set config.dbSkip=true --set-string 'schedule=0 0 * *'
refuses "'/config/lock'" --set config.dbSkip=true,config.lock=semaphore
refuses 'BAK_DB_POSTGRES_PASSWORD is a password' --set config.dbPostgres=true,config.dbPostgresPassword=literal
refuses 'BAK_DB_MYSQL_PASSWORD is a password' --set config.dbMysql=true,envData.BAK_DB_MYSQL_PASSWORD=literal
refuses 'BAK_NOTIFY_URL is a secret' --set 'config.dbSkip=true,extraEnv[0].name=BAK_NOTIFY_URL,extraEnv[0].value=https://literal'
refuses 'BAK_PING_URL is a secret' --set config.dbSkip=true,envData.BAK_PING_URL=https://literal
refuses "'/notifications/when'" --set config.dbSkip=true,notifications.when=always
refuses 'BAK_X_PASSWORD is a password' --set backup.enabled=false,cluster.enabled=true,cluster.prune.envData.BAK_X_PASSWORD=literal
# shellcheck disable=SC2016 # a variable of the database's container
takes --set config.dbPostgres=true --set 'config.dbPostgresPassword=${DUMPER_PASSWORD}'
# Words that YAML would take for something else.
takes --set config.dbSkip=true --set nameOverride=on
refuses "'/config/flockCount'" --set config.dbSkip=true --set-string config.flockCount=many
refuses 'activeDeadlineSeconds is 4500' --set config.dbSkip=true,activeDeadlineSeconds=4500
refuses "'/roleBinding/roleRef'" --set config.dbSkip=true,roleBinding.roleRef.name=x

# refuses_backups WORDS JSON: as above, for a list of backups of PostgreSQL.
refuses_backups() {
	refuses "$1" --set config.dbPostgres=true --set-json "backups=$2"
}
long=$(printf '%043d' 0 | tr 0 n)
refuses_backups "'/backups/0': missing property 'name'" '[{}]'
refuses_backups "'/backups/0': additional properties 'scheduel' not allowed" '[{"name": "a", "scheduel": "@daily"}]'
refuses_backups "'/backups/0/config': additional properties 'dbPostgress' not allowed" '[{"name": "a", "config": {"dbPostgress": true}}]'
refuses_backups "additional properties 'cluster' not allowed" '[{"name": "a", "cluster": {"enabled": true}}]'
refuses_backups "'/backups/0/schedule'" '[{"name": "a", "schedule": "0 0 * *"}]'
refuses_backups "'/backups/0/name'" '[{"name": "A"}]'
refuses_backups 'two CronJobs of the namespace shop would have the name backup-ns-a' '[{"name": "a"}, {"name": "a", "namespace": "shop"}]'
refuses_backups 'two CronJobs of the namespace shop would have the name backup-ns-a-verify' \
	'[{"name": "a-verify"}, {"name": "a", "verify": {"enabled": true}}]'
refuses_backups 'two CronJobs of the namespace shop would have the name backup-ns-a-export' \
	'[{"name": "a-export"}, {"name": "a", "export": {"enabled": true, "image": "i"}}]'
refuses 'export.image is not set' --set config.dbPostgres=true,export.enabled=true
refuses 'export.remote is not set' --set config.dbPostgres=true,export.enabled=true,export.image=i,export.tool=rclone
refuses 'export.check is not set' --set config.dbPostgres=true,export.enabled=true,export.image=i,export.tool=command,export.command=c
refuses 'export.what is volume' \
	--set config.dbPostgres=true,export.enabled=true,export.image=i,export.tool=command,export.command=c,export.check=c,export.what=volume
refuses "'/export/tool'" --set config.dbPostgres=true,export.tool=tar
refuses 'would have the name backup-ns-prune' --set config.dbSkip=true,cluster.enabled=true --set-json 'backups=[{"name": "prune"}]'
refuses_backups "the CronJob backup-ns-$long would have a name of 53 characters" "[{\"name\": \"$long\"}]"
refuses_backups "-verify would have a name of 53 characters" "[{\"name\": \"${long#nnnnnnn}\", \"verify\": {\"enabled\": true}}]"
refuses_backups 'nothing in the entry b of ' '[{"name": "a"}, {"name": "b", "config": {"dbPostgres": false}}]'
refuses_backups 'BAK_DB_POSTGRES_PASSWORD is a password' '[{"name": "a", "config": {"dbPostgresPassword": "literal"}}]'
refuses_backups 'activeDeadlineSeconds is 60' '[{"name": "a", "activeDeadlineSeconds": 60}]'
refuses 'backup.enabled is false' --set backup.enabled=false --set-json 'backups=[{"name": "a", "config": {"dbSkip": true}}]'
takes --set config.dbSkip=true,fullnameOverride=backup-ns --set-json "backups=[{\"name\": \"${long#n}\"}, {\"name\": \"a\", \"namespace\": \"bank\"}, {\"name\": \"a\"}]"
release_only='backup backups cluster commonLabels extraObjects fullnameOverride global nameOverride networkPolicy roleBinding serviceAccount'
[ "$(jq -r '.properties | keys - (.backups.items.properties | keys) | join(" ")' $chart/values.schema.json)" = "$release_only" ] ||
	fail "values.schema.json: an entry of backups lacks a value, or has one of the release"
refuses 'podSecurityContext.runAsUser is 0' --set config.dbSkip=true,podSecurityContext.runAsUser=0
refuses "'/podSecurityContext/fsGroup'" --set config.dbSkip=true,podSecurityContext.fsGroup=storage
takes --set config.dbSkip=true,podSecurityContext.runAsUser=0,podSecurityContext.runAsNonRoot=false,securityContext.runAsUser=7

# The README is what helm-docs makes of README.md.gotmpl and values.yaml, and a user of the packed chart can read it.
readme=$chart/README.md
helm-docs --chart-search-root "$chart" --sort-values-order file --log-level warning --dry-run >"$work/README.md" ||
	fail "helm-docs cannot make the README"
[ "${UPDATE-}" != 1 ] || cp "$work/README.md" "$readme"
diff -u "$readme" "$work/README.md" || fail "$readme is not made of values.yaml: UPDATE=1 tests/bin/chart.sh"
! grep -n '|  |$' "$readme" || fail "these values have no comment that begins with '# --' in values.yaml"
helm package "$chart" --destination "$work" >/dev/null || fail "the chart cannot be packed"
helm show readme "$work"/backup-ns-*.tgz >"$work/shown.md" || fail "helm show readme fails"
[ "$(cat "$work/shown.md")" = "$(cat "$readme")" ] || fail "helm show readme does not show $readme"
! tar -tzf "$work"/backup-ns-*.tgz | grep -F gotmpl || fail "the packed chart holds the template of its README"
cases=$((cases + 1))

# Plain YAML is what the chart renders, without a word of Helm's.
files=$(charts/manifests.sh)
for file in $files; do
	! grep -iq helm "$file" || fail "$file speaks of Helm"
	conforms "$file" "$file"
	cases=$((cases + 1))
done
echo "chart: $cases passed, 0 failed"

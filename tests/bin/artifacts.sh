#!/bin/sh
# What is shipped beside the program, held to what will read it.
# shellcheck disable=SC2013 # lines of one word
set -eu
cd "$(dirname "$0")/../.."
tools=$(tests/bin/tools.sh)
PATH=$tools:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
fail() {
	echo "artifacts: error: $*" >&2
	exit 1
}

# conform VERSION: the manifests on stdin against the API of that Kubernetes.
conform() {
	kubeconform -strict -kubernetes-version "$1" -schema-location 'tests/schemas/{{ .NormalizedKubernetesVersion }}.json' -
}
versions=$(printf '%s\n' tests/schemas/v*.json | sed 's|.*/v||; s|\.json$||')

# The schemas themselves: what is right passes, a slip deep inside does not.
cronjob='
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup}
spec:
  schedule: 0 3 * * *
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: backup, image: backup-ns, resources: {limits: {cpu: 1, memory: 64Mi}}}]'
for version in $versions; do
	echo "$cronjob" | conform "$version" || fail "the schema of $version refuses a sound CronJob"
	for slip in s/schedule:/shedule:/ s/image:/images:/ s/limits:/limit:/ s/batch.v1/batch.v2/ s/CronJob/CronTab/ s/Never/3/; do
		! echo "$cronjob" | sed "$slip" | conform "$version" >/dev/null || fail "the schema of $version lets $slip pass"
	done
done

# The workflows. actionlint leaves scripts out in silence where shellcheck is missing.
command -v shellcheck >/dev/null || fail "shellcheck is not in PATH: make init"
actionlint || fail "the workflows are not sound"
! grep -nE '^[ -]*uses:' .github/workflows/*.yml | grep -vE 'uses: (\./.*|[^ @]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+)$' ||
	fail "these actions are not pinned by a commit, with the version behind it"

# What a release is made of.
shellcheck .github/release.sh
release=.github/release.sh
$release version >/dev/null
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
for line in version appVersion '    *image'; do
	mkdir -p "$copy/.github" "$copy/charts/backup-ns"
	cp $release "$copy/.github"
	cp Cargo.toml "$copy"
	sed "/^$line:/s/[0-9]*\.[0-9]*\.[0-9]*/9.9.9/" charts/backup-ns/Chart.yaml >"$copy/charts/backup-ns/Chart.yaml"
	! "$copy/$release" version 2>/dev/null || fail "a release could have another version in the line $line of Chart.yaml"
done
notes='# Changelog

## 0.3.0, unreleased

- later

## 0.2.0, 2026-01-31

- now

## 0.1.0, 2025-01-31

- before'
[ "$(echo "$notes" | $release notes 0.2.0)" = "
- now" ] || fail "the notes of a release are not its part of the changelog"
! echo "$notes" | $release notes 0.3.0 2>/dev/null || fail "a version without a date could be released"
sums=$(for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-apple-darwin aarch64-apple-darwin; do
	echo "$(echo $target | sha256sum | cut -c 1-64)  backup-ns-v0.2.0-$target.tar.gz"
done)
manifest=$(echo "$sums" | $release krew v0.2.0 backup-ns/backup-ns)
echo "$sums" | while read -r sum archive; do
	echo "$manifest" | grep -A 1 -x "    uri: https://github.com/backup-ns/backup-ns/releases/download/v0.2.0/$archive" | grep -qx "    sha256: $sum" ||
		fail "the krew manifest does not have $archive with its checksum"
done
! echo "$sums" | sed 1d | $release krew v0.2.0 backup-ns/backup-ns >/dev/null 2>&1 || fail "a krew manifest was made without an archive"

# Alerts and dashboard: sound, of metrics that `status` prints, with a runbook for each alert.
files=charts/backup-ns/files
promtool check rules --lint=all --lint-fatal $files/rules.yaml >/dev/null || fail "the alert rules are not sound"
promtool test rules tests/rules.yaml >/dev/null || fail "an alert does not fire and clear as tests/rules.yaml says"
metrics=$(sed -n 's/.*text\.gauge("\([a-z_]*\)", .*/backup_ns_\1/p' src/core/health/metrics.rs)
for file in $files/rules.yaml $files/dashboard.json tests/rules.yaml; do
	for metric in $(grep -o 'backup_ns_[a-z_]*' "$file" | sort -u); do
		echo "$metrics" | grep -qx "$metric" || fail "$file asks for $metric, which status does not print"
	done
done
for anchor in $(sed -n 's/.*operations\.md#//p' $files/rules.yaml); do
	grep '^### ' docs/operations.md | tr -d '# ' | tr '[:upper:]' '[:lower:]' | grep -qx "$anchor" || fail "docs/operations.md has no $anchor"
done
for alert in $(sed -n 's/.*alert: //p' $files/rules.yaml); do
	grep -q "operations\.md#$(echo "$alert" | tr '[:upper:]' '[:lower:]')\$" $files/rules.yaml || fail "$alert has no runbook of its own"
	grep -q "\`$alert\`" docs/monitoring.md || fail "docs/monitoring.md does not tell of $alert"
	grep -q "alertname=\"$alert\"" tests/rules.yaml || fail "tests/rules.yaml does not try $alert"
done
expressions=$(jq -er '.panels[].targets[].expr' $files/dashboard.json) || fail "dashboard.json has a panel without a query"
echo "$expressions" | while read -r expression; do
	promtool promql format --experimental "$expression" >/dev/null || fail "dashboard.json: this is no PromQL: $expression"
done

# Grafana's own schema takes the dashboard, and check-dashboard refuses what is wrong with one.
check-dashboard $files/dashboard.json || fail "the dashboard is not sound"
for slip in '.panels[0].titel = "Age"' '.panels[0].gridPos.w = "3"' '.panels[0].options.colorMode = 1' '.panels[1].gridPos.x = 0' \
	'.panels[0].fieldConfig.defaults.unit = "hours"' '.panels[0].datasource.uid = "prometheus"' '.panels[0].targets = []' \
	'.panels[0].description = ""' '.panels[1].id = 1' '.templating.list[0].name = "prometheus"' 'del(.templating.list[1].refresh)'; do
	jq "$slip" $files/dashboard.json >"$work/dashboard.json"
	! check-dashboard "$work/dashboard.json" 2>/dev/null || fail "check-dashboard lets $slip pass"
done

# kube-state-metrics looks at the labels that the program sets.
for label in $(grep -o 'backup-ns\.sh/[a-z-]*' $files/kube-state-metrics.yaml | sort -u); do
	grep -q "\"$label\"" src/core/kube/labels.rs || fail "kube-state-metrics.yaml reads the label $label, which the program does not set"
done

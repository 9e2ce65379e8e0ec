#!/bin/sh
# What is shipped beside the program, held to what will read it.
set -eu
cd "$(dirname "$0")/.."
tools=$(tests/tools.sh)
PATH=$tools:$PATH
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

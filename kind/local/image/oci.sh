# shellcheck shell=sh
# Writes an image archive (OCI layout in a tar) from layers that are plain tar files.
# Sourced. Use: oci_begin DIR; oci_layer TAR (sets layer); oci_image …; oci_end ARCHIVE.

oci_begin() {
	oci=$1 oci_manifests=''
	mkdir -p "$oci/blobs/sha256"
	printf '{"imageLayoutVersion":"1.0.0"}' >"$oci/oci-layout"
}

# Moves a file into the archive and sets $blob to "DIGEST SIZE".
oci_blob() {
	blob_sum=$(sha256sum "$1")
	blob_sum=${blob_sum%% *}
	blob="sha256:$blob_sum $(stat -c %s "$1")"
	mv "$1" "$oci/blobs/sha256/$blob_sum"
}

oci_layer() {
	oci_blob "$1"
	# shellcheck disable=SC2034
	layer=$blob
}

# oci_image NAME RUNTIME-CONFIG-JSON LAYER...
oci_image() {
	image_name=$1 runtime=$2
	shift 2
	diffs='' layers=''
	for l in "$@"; do
		diffs="$diffs${diffs:+,}\"${l% *}\""
		layers="$layers${layers:+,}{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"${l% *}\",\"size\":${l#* }}"
	done
	printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[%s]}}' \
		"$(oci_arch)" "$runtime" "$diffs" >"$oci/part"
	oci_blob "$oci/part"
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"%s","size":%s},"layers":[%s]}' \
		"${blob% *}" "${blob#* }" "$layers" >"$oci/part"
	oci_blob "$oci/part"
	oci_manifests="$oci_manifests${oci_manifests:+,}{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"${blob% *}\",\"size\":${blob#* },\"annotations\":{\"io.containerd.image.name\":\"$image_name\",\"org.opencontainers.image.ref.name\":\"${image_name##*:}\"}}"
}

oci_end() {
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$oci_manifests" >"$oci/index.json"
	tar -C "$oci" -cf "$1" oci-layout index.json blobs
	rm -rf "$oci"
}

oci_arch() {
	case $(uname -m) in
	x86_64) echo amd64 ;;
	aarch64) echo arm64 ;;
	*) uname -m ;;
	esac
}

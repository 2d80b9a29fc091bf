#!/usr/bin/env bash
# release.sh [compile|pack]: what a release consists of, in dist/. compile: production binaries for amd64 and arm64, a
# software bill of materials (CycloneDX), the enclave image and its PCRs of each architecture of which a kernel was given
# (BLOBS_amd64, BLOBS_arm64: folders as make-eif.sh takes them). pack: container images of those binaries, and checksums of everything; it may need root
# where compile need not. Without an argument, both.
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() {
	rm -rf dist
	make --no-print-directory dist
	go run ./deploy/images/sbom dist/linux/*/* >dist/redoubt.cdx.json
	cp deploy/images/NOTICE dist/
	for arch in amd64 arm64; do
		blobs=BLOBS_$arch
		[ -n "${!blobs:-}" ] || { echo "no $blobs given: dist/ has no measurements for $arch"; continue; }
		BLOBS=${!blobs} ARCH=$arch CONFIG=deploy/eif/example.yaml OUT=dist/enclave-$arch.eif \
			PCRS=dist/pcrs-$arch.json deploy/eif/make-eif.sh
	done
}

pack() {
	PREBUILT=1 deploy/images/build.sh >dist/image-digests.txt
	(cd dist && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
	cat dist/image-digests.txt dist/SHA256SUMS
}

case ${1:-all} in
compile) compile ;;
pack) pack ;;
all) compile && pack ;;
*) echo "usage: release.sh [compile|pack]" >&2; exit 2 ;;
esac

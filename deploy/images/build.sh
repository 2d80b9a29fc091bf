#!/usr/bin/env bash
# build.sh [ARCH...]: container images of parent and enclave, as OCI archives in dist/images/; prints the digest of each
# image's manifest, which a registry keeps when the archive is copied to it. The binaries are built for it, so that none
# of an older source is packed; PREBUILT=1 takes those in dist/linux/ARCH as they are, for who has just made them. Needs
# no base image and no registry. Same binaries, same bytes, of the archives too: buildah (1.28 or later) does not write
# its version into them.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v buildah >/dev/null || .ci/apt buildah >&2
# Storage of our own, with the driver that needs neither overlay mounts nor a running daemon.
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
b() { buildah --storage-driver vfs --root "$store/root" --runroot "$store/run" "$@"; }
archs=("$@")
[ ${#archs[@]} -gt 0 ] || archs=(amd64 arm64)
mkdir -p dist/images
for arch in "${archs[@]}"; do
	for tier in enclave parent; do
		[ -n "${PREBUILT:-}" ] || make --no-print-directory dist-binary TIER=$tier GOARCH="$arch" OUT="dist/linux/$arch/$tier" >&2
		name=redoubt/$tier:$arch layout=$store/$tier-$arch
		b build --quiet --isolation chroot --platform "linux/$arch" --timestamp "${SOURCE_DATE_EPOCH:-0}" --no-cache \
			--identity-label=false --build-arg BINARIES=prebuilt --file "Dockerfile.$tier" --tag "$name" . >/dev/null
		b push --quiet --digestfile "$store/digest" "$name" "oci:$layout:$name"
		# An archive of our own making: buildah's has the times and modes of the moment.
		tar --create --file "dist/images/$tier-$arch.tar" --directory "$layout" --sort=name --owner=0 --group=0 --numeric-owner \
			--mode='u=rwX,go=rX' --mtime="@${SOURCE_DATE_EPOCH:-0}" blobs index.json oci-layout
		printf '%s  %s\n' "$(cat "$store/digest")" "$tier-$arch"
	done
done

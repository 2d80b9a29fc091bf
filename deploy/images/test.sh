#!/usr/bin/env bash
# test.sh: builds this machine's images and runs each as its own unprivileged user in nothing but its own files. The
# parent says its version; the enclave, which has no configuration there, says so and ends.
set -euo pipefail
cd "$(dirname "$0")/../.."
arch=$(go env GOARCH)
deploy/images/build.sh "$arch"
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
b() { buildah --storage-driver vfs --root "$store/root" --runroot "$store/run" "$@"; }
run() { # run TIER ARGS...: the image's program in the image's root, as the image's user
	local tier=$1 name root user; shift
	name=$(b from --quiet "oci-archive:dist/images/$tier-$arch.tar")
	user=$(b inspect --format '{{.OCIv1.Config.User}}' "$name")
	[ "$user" = 10001:10001 ] || { echo "$tier: the image's user is '$user'"; exit 1; }
	! b inspect --format '{{.OCIv1.Config.Labels}}' "$name" | grep buildah || { echo "$tier: names its builder"; exit 1; }
	root=$(b mount "$name")
	[ "$(find "$root" -type f | wc -l)" = 1 ] || { echo "$tier: more than one file in the image"; find "$root" -type f; exit 1; }
	timeout 20 chroot --userspec "$user" "$root" "/$tier" "$@"
}
run parent --version
if out=$(run enclave 2>&1) || ! grep -q '/etc/redoubt/enclave.yaml' <<<"$out"; then
	echo "enclave: expected it to miss its configuration, got: $out"; exit 1
fi
echo "enclave: starts, and refuses to serve without its configuration"

#!/usr/bin/env bash
# make-eif.sh: dist/enclave.eif from the production enclave, a kernel and a deployment's configuration.
#   BLOBS    folder with a kernel, its configuration, nsm.ko and command line, such as /usr/share/nitro_enclaves/blobs of
#            the package aws-nitro-enclaves-cli-devel; CONFIG  the deployment's enclave.yaml
#   KERNEL   in place of BLOBS: bzImage (amd64) or Image (arm64); KERNEL_CONFIG  what it was configured with
#   MODULES  decompressed modules in load order, if the kernel needs more than the blobs' nsm.ko
#   ARCH     amd64 (default: this machine's) or arm64; CMDLINE  kernel command line; OUT, PCRS  files to write
#   SIGN_CERT, SIGN_KEY  PEM files, for PCR8; ROLE_ARN  the instance role, for PCR3
set -euo pipefail
usage="make eif BLOBS=/usr/share/nitro_enclaves/blobs CONFIG=enclave.yaml"
: "${CONFIG:?give the configuration of the deployment: $usage}"
: "${BLOBS:=}" "${KERNEL:=}"
[ -n "$BLOBS$KERNEL" ] || { echo "give the kernel: $usage" >&2; exit 1; }
config=$(realpath "$CONFIG")
args=()
[ -z "$BLOBS" ] || args+=(--blobs "$(realpath "$BLOBS")")
[ -z "$KERNEL" ] || args+=(--kernel "$(realpath "$KERNEL")")
[ -z "${KERNEL_CONFIG:-}" ] || args+=(--kernel-config "$(realpath "$KERNEL_CONFIG")")
for m in ${MODULES:-}; do args+=(--module "$(realpath "$m")"); done
[ -z "${CMDLINE:-}" ] || args+=("--cmdline=$CMDLINE")
[ -z "${SIGN_CERT:-}" ] || args+=(--sign-cert "$(realpath "$SIGN_CERT")" --sign-key "$(realpath "${SIGN_KEY:?}")")
[ -z "${ROLE_ARN:-}" ] || args+=(--role-arn "$ROLE_ARN")
cd "$(dirname "$0")/../.."
arch=${ARCH:-$(go env GOARCH)}
enclave=dist/linux/$arch/enclave
make --no-print-directory dist-binary TIER=enclave GOARCH="$arch" OUT="$enclave"
go run ./deploy/eif build --init "$enclave" --config "$config" --arch "$arch" \
	--output "${OUT:-dist/enclave.eif}" --pcrs "${PCRS:-dist/pcrs.json}" "${args[@]}"

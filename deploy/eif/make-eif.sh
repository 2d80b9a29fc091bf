#!/usr/bin/env bash
# make-eif.sh: dist/enclave.eif from the production enclave, a kernel and a deployment's configuration.
#   KERNEL   bzImage (amd64) or Image (arm64); CONFIG  the deployment's enclave.yaml
#   MODULES  decompressed modules in load order, if the kernel does not have nsm and vsock built in
#   ARCH     amd64 (default: this machine's) or arm64; CMDLINE  kernel command line; OUT, PCRS  files to write
#   SIGN_CERT, SIGN_KEY  PEM files, for PCR8; ROLE_ARN  the instance role, for PCR3
set -euo pipefail
: "${KERNEL:?give the kernel: make eif KERNEL=bzImage CONFIG=enclave.yaml}"
: "${CONFIG:?give the configuration of the deployment: make eif KERNEL=bzImage CONFIG=enclave.yaml}"
kernel=$(realpath "$KERNEL") config=$(realpath "$CONFIG")
args=()
for m in ${MODULES:-}; do args+=(--module "$(realpath "$m")"); done
[ -z "${CMDLINE:-}" ] || args+=("--cmdline=$CMDLINE")
[ -z "${SIGN_CERT:-}" ] || args+=(--sign-cert "$(realpath "$SIGN_CERT")" --sign-key "$(realpath "${SIGN_KEY:?}")")
[ -z "${ROLE_ARN:-}" ] || args+=(--role-arn "$ROLE_ARN")
cd "$(dirname "$0")/../.."
arch=${ARCH:-$(go env GOARCH)}
enclave=dist/linux/$arch/enclave
make --no-print-directory dist-binary TIER=enclave GOARCH="$arch" OUT="$enclave"
go run ./deploy/eif build --kernel "$kernel" --init "$enclave" --config "$config" --arch "$arch" \
	--output "${OUT:-dist/enclave.eif}" --pcrs "${PCRS:-dist/pcrs.json}" "${args[@]}"

#!/usr/bin/env bash
# Opens the parent's status page, of a local stack under load, and the report of deploy/measurements in headless Chromium
# (Debian's package, installed when absent and root) and checks them as rendered; doc.go says what is checked.
# With UPDATE=1 the pictures it takes replace those of this folder. Everything it starts ends with it.
# Usage: test-screens.sh [go test flags]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
unset AWS_CA_BUNDLE AWS_PROFILE
command -v chromium >/dev/null || .ci/apt chromium fonts-dejavu-core fonts-liberation
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/out"
build() { CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-X main.version=$(git describe --tags --always 2>/dev/null || echo dev)" "$@"; }
build -o "$work/bin/" ./parent ./api ./deploy/local ./bench
build -tags dev -o "$work/bin/enclave" ./enclave
SCREENS_BIN=$work/bin SCREENS_OUT=$work/out go test -count=1 -timeout 150s -tags screens "$@" ./deploy/screenshots
if [ -n "${UPDATE:-}" ]; then
  cp "$work"/out/*.png "$here/"
fi
ls -l "$work/out" | awk 'NR > 1 {print $NF ": " $5 " bytes"}'
echo "ok: the pages are as they must be"

#!/usr/bin/env bash
# test-enclave.sh: the production enclave in guests with real vsock and a Nitro Security Module (see ../README.md).
# Root on Debian 12 with apt; installs and builds what it needs, once. VERBOSE output is on the guest's console, which a
# failed test keeps and shows the end of.
set -euo pipefail
cd "$(dirname "$0")"
# Together less than the limit of .ci/run's step.
timeout 900 ./build-qemu.sh
timeout 120 ./get-guest.sh
timeout 600 make --no-print-directory -C ../../.. asm
. ./lib.sh
cd ../../..
TESTBED=$TESTBED timeout 1260 go test -tags guest -count=1 -timeout 20m -v ./deploy/eif/guest

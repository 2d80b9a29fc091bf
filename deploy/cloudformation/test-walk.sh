#!/usr/bin/env bash
# Runs the commands of deploy/README.md in their order, as they stand there, from an empty account to a decrypt: the AWS
# command line and moto's server (PyPI, in a virtual environment in the user's cache), the programs that ship, and an
# enclave of the development build. All on loopback.
# Installs Debian's curl, jq, openssl and zip where they are absent (root).
# Usage: test-walk.sh [go test flags]
set -euo pipefail
cd "$(dirname "$0")/../.."
moto=5.2.5
awscli=1.46.3
for program in curl jq openssl zip; do
  command -v "$program" >/dev/null || .ci/apt "$program"
done
venv=$(.ci/venv "walk-$moto-$awscli" "moto[cloudformation,events,server]==$moto" "awscli==$awscli")
go test -tags operate -count=1 -timeout 14m -run '^TestTheDeployPage' "$@" ./deploy/cloudformation -venv "$venv"

#!/usr/bin/env bash
# build.sh FOLDER: builds the program with AWS-LC and OpenSSL in cargo's target folder FOLDER. AWS-LC takes some 100 s of
# CPU the first time. Needs cargo; apt installs what else is absent.
set -euo pipefail
cd "$(dirname "$0")"
command -v cargo >/dev/null || { echo "build.sh: cargo is not there: install Rust to build AWS-LC" >&2; exit 1; }
command -v cc >/dev/null || ../../.ci/apt gcc libc6-dev
command -v pkg-config >/dev/null && pkg-config --exists libcrypto || ../../.ci/apt pkg-config libssl-dev
cargo build --release --quiet --locked --target-dir "$1"
touch "$1/release/peers"

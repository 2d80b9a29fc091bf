#!/usr/bin/env bash
# make.sh [ARCH...]: writes code_ARCH.s beside this script, for amd64 and arm64 unless told otherwise, from the sources of
# s2n-bignum in the crate aws-lc-sys. Needs cargo, a C preprocessor and GNU binutils of each architecture; apt installs
# what is absent. --update writes code.sha256 instead of comparing the code with it.
set -euo pipefail
cd "$(dirname "$0")"

crate=aws-lc-sys version=0.47.0
sha256=8bfbe32ac36b3c428696ce315464181bc4029d689fd58e3f2a4e58c252242f52 # of the crate's file, as the registry has it
update=
if [ "${1:-}" = --update ]; then update=-update; shift; fi
[ $# -gt 0 ] || set -- amd64 arm64

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need() { # need COMMAND PACKAGE
	command -v "$1" >/dev/null || ../../../../../.ci/apt "$2"
}

command -v cargo >/dev/null || { echo "make.sh: cargo is not there: install Rust to fetch $crate" >&2; exit 1; }
need cpp cpp
mkdir "$work/fetch" "$work/fetch/src"
: >"$work/fetch/src/lib.rs"
cat >"$work/fetch/Cargo.toml" <<-TOML
	[package]
	name = "fetch"
	version = "0.0.0"
	edition = "2021"
	[dependencies]
	$crate = "=$version"
TOML
(cd "$work/fetch" && timeout 600 cargo fetch --quiet)
file=$(compgen -G "${CARGO_HOME:-$HOME/.cargo}/registry/cache/*/$crate-$version.crate" | head -n 1)
echo "$sha256  $file" | sha256sum --check --quiet
sources=$crate-$version/aws-lc/third_party/s2n-bignum/s2n-bignum-imported
tar -xzf "$file" -C "$work" "$sources"

for arch; do
	case $arch in
	amd64) machine=x86_64 triplet=x86_64-linux-gnu ;;
	arm64) machine=aarch64 triplet=aarch64-linux-gnu ;;
	*) echo "make.sh: no such architecture: $arch" >&2; exit 2 ;;
	esac
	prefix=$triplet-
	if [ "$(uname -m)" = "$machine" ]; then
		prefix=
		need as binutils
	else
		need "$prefix"as "binutils-${triplet//_/-}"
	fi
	go run ./mkasm -arch "$arch" -sources "$work/$sources" -as "$prefix"as -objdump "$prefix"objdump \
		-digests code.sha256 $update -o "code_$arch.s"
	echo "code_$arch.s: $(grep -c "$arch/" code.sha256) functions of s2n-bignum"
done

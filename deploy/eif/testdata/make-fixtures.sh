#!/usr/bin/env bash
# make-fixtures.sh: makes peer-signed.eif and peer-signed.json anew with AWS's own crate (needs cargo, openssl and its
# headers), then has that crate read and check an image that our builder signed. Run by hand: the outcome is kept.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo build --quiet --manifest-path peer/Cargo.toml --target-dir "${PEER_TARGET:-$work/target}"
peer=${PEER_TARGET:-$work/target}/debug/eif-peer
printf 'a kernel' >"$work/kernel"
printf 'the code' >"$work/rd1"
printf 'the configuration' >"$work/rd2"
printf '\x7fELF init' >"$work/init"
openssl ecparam -name secp384r1 -genkey -noout -out "$work/key.pem"
openssl req -new -x509 -sha384 -days 36500 -subj /CN=peer -key "$work/key.pem" -out "$work/cert.pem"
"$peer" write "$work/kernel" quiet "$work/rd1" "$work/rd2" "$work/cert.pem" "$work/key.pem" peer-signed.eif >peer-signed.json
cat peer-signed.json
go run .. build --kernel "$work/kernel" --init "$work/init" --config "$work/rd2" --arch amd64 \
	--sign-cert "$work/cert.pem" --sign-key "$work/key.pem" --output "$work/ours.eif" >"$work/ours.json"
"$peer" read "$work/ours.eif" | tee "$work/read.json"
for pcr in PCR0 PCR1 PCR2 PCR8; do
	want=$(grep -o "\"$pcr\": *\"[0-9a-f]*\"" "$work/ours.json" | grep -oE '[0-9a-f]{96}')
	grep -q "$want" "$work/read.json" || { echo "$pcr differs between the two"; exit 1; }
done
echo "each tool reads, measures and verifies the other's image"

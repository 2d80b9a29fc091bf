#!/usr/bin/env bash
# The short set of measurements of `make bench`: under three minutes. Keeps JSON lines in deploy/measurements/COMMIT.jsonl
# (COMMIT-dirty.jsonl with uncommitted changes, which is not for keeping) and draws all of them. With ALL set, also the
# other libraries' cryptography and the API, as `make figures` keeps them.
set -euo pipefail
cd "$(dirname "$0")/.."
bench=bin/bench
name=$(git rev-parse --short=12 HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || name=$name-dirty
part=$(mktemp)
trap 'rm -f "$part"' EXIT
status=0
{
	$bench meta --json
	$bench wire --json --rounds 7 --turn 120ms || status=$?
	$bench crypto --json --suite P-384,P-256 --fields 1,10 --budget 80ms || status=$?
	$bench targets --json --rows hot,pinned --rounds 7 --turn 250ms --duration 8s || status=$?
	if [ -n "${ALL:-}" ]; then
		$bench peers --json --program bin/peers/release/peers --production bin/production/bench || status=$?
		$bench http --json --local --api --in-flight 64 || status=$?
	fi
} > "$part"
cat "$part" > "deploy/measurements/$name.jsonl"
$bench report deploy/measurements/*.jsonl --out deploy/measurements/report.html
echo "kept deploy/measurements/$name.jsonl" >&2
exit "$status"

#!/usr/bin/env bash
# Runs the tests that compare programs: those of bin/ with each other, and with the enclave and the parent of an older
# commit, which are built from the repository's history. DynamoDB's stand-in is moto, which needs python3: without it
# the stores are not compared.
# Usage: test.sh COMMIT [go test flags]
set -euo pipefail
cd "$(dirname "$0")/../../.."
old=$1; shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export REDOUBT_BIN=$PWD/bin
if git rev-parse -q --verify "$old^{commit}" >/dev/null 2>&1; then
	mkdir "$dir/old"
	git archive "$old" | tar -x -C "$dir/old"
	# Of packages that are as they were, the build cache has them: paths are trimmed.
	(cd "$dir/old" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -o "$dir/" ./parent &&
		CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags dev -o "$dir/enclave" ./enclave)
	export REDOUBT_OLD_BIN=$dir
	echo "the version of before is $(git log -1 --format='%h of %as, %s' "$old")"
else
	echo "no history: versions are not compared"
fi
with=()
if command -v python3 >/dev/null; then
	export REDOUBT_DYNAMODB=wanted
	with=(api/internal/store/dynamo/test-dynamodb.sh --run)
else
	echo "no python3: stores are not compared"
fi
"${with[@]}" go test -tags differential -count=1 -timeout 30m "$@" ./deploy/storm/differential

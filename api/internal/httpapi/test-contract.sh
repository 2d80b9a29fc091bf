#!/usr/bin/env bash
# The contract of the API: (1) the Go tests once more with every answer validated against the generated OpenAPI
# document by an independent validator, (2) schemathesis (PyPI), which makes requests from that document, valid and
# not, against a running server: no 500, no undocumented status, no answer of another shape.
# schemathesis is kept in a virtual environment in the user's cache folder. All servers are on loopback and end with
# this script. Usage: test-contract.sh [examples per operation]
set -euo pipefail
schemathesis=4.32.5
examples=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
unset AWS_CA_BUNDLE AWS_PROFILE
go test -count=1 -tags contract ./api/internal/httpapi ./api/client ./api
venv=$(.ci/venv "schemathesis-$schemathesis" "schemathesis==$schemathesis")
dir=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT
go build -o "$dir/stack" ./api/internal/apitest/stack
"$dir/stack" >"$dir/url" 2>"$dir/log" &
server=$!
for _ in $(seq 100); do
  [ -s "$dir/url" ] && break
  kill -0 "$server" 2>/dev/null || { cat "$dir/log"; exit 1; }
  sleep 0.1
done
url=$(cat "$dir/url")
[ -n "$url" ] || { cat "$dir/log"; echo "the server did not start" >&2; exit 1; }
cd "$dir"
"$venv/bin/schemathesis" run "$url/v1/openapi.json" --url "$url/v1" --max-examples "$examples" --phases examples,coverage,fuzzing \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance,negative_data_rejection \
  --seed 1 --generation-database none --no-color

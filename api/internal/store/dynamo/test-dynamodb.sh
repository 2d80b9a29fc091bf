#!/usr/bin/env bash
# Runs the tests that need a DynamoDB server against moto's, an independent implementation (PyPI). The server is kept
# in a virtual environment in the user's cache folder; it listens on a free loopback port and ends with this script.
# Usage: test-dynamodb.sh [go test flags], or test-dynamodb.sh --run COMMAND... for another command with the server
set -euo pipefail
moto=5.2.5
here=$(cd "$(dirname "$0")" && pwd)
venv=$("$here/../../../../.ci/venv" "moto-$moto" "moto[dynamodb,server]==$moto")
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
log=$(mktemp)
# One request at a time: DynamoDB isolates transactions from each other, moto's threads do not.
"$venv/bin/python" - "$port" >"$log" 2>&1 <<'PY' &
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
PY
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 100); do
  if python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; then ready=1; break; fi
  kill -0 "$server" 2>/dev/null || { cat "$log"; exit 1; }
  sleep 0.2
done
[ -n "${ready:-}" ] || { cat "$log"; echo "the server did not start" >&2; exit 1; }
unset AWS_CA_BUNDLE AWS_PROFILE
export REDOUBT_DYNAMODB_ENDPOINT=http://127.0.0.1:$port
cd "$here/../../../.."
if [ "${1:-}" = --run ]; then
  shift
  "$@"
  exit
fi
go test -count=1 "$@" ./api/internal/store/dynamo

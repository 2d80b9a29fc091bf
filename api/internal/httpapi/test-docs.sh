#!/usr/bin/env bash
# Opens /docs in headless Chromium (Debian's package, installed when absent and root) and checks that the page, served
# from the binary under its own content security policy, shows every operation of the document.
# Usage: test-docs.sh [screenshot.png]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
unset AWS_CA_BUNDLE AWS_PROFILE
.ci/venv
command -v chromium >/dev/null || .ci/apt chromium fonts-dejavu-core fonts-liberation
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
browse() {
  timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run \
    --user-data-dir="$dir/profile" --virtual-time-budget=8000 "$@" 2>>"$dir/browser.log"
}
for page in docs v1/docs swagger; do
  browse --dump-dom "$url/$page" >"$dir/dom"
  grep -q 'data-ready="true"' "$dir/dom" || { tail -5 "$dir/browser.log"; echo "/$page did not render" >&2; exit 1; }
  for id in $(python3 -c '
import json, sys, urllib.request
for item in json.load(urllib.request.urlopen(sys.argv[1] + "/openapi.json"))["paths"].values():
    print(*(op["operationId"] for op in item.values()), sep="\n")' "$url"); do
    grep -q "id=\"$id\"" "$dir/dom" || { echo "/$page lacks $id" >&2; exit 1; }
  done
done
if [ $# -gt 0 ]; then
  browse --window-size=1200,1600 --screenshot="$dir/shot.png" "$url/docs" >/dev/null
  cp "$dir/shot.png" "$1"
fi
echo "ok: /docs renders every operation"

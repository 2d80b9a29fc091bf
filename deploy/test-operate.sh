#!/usr/bin/env bash
# Checks what an operator is given, in under ten minutes: templates (cfn-lint, @aws/cloudformation-validate), alert rules
# and their tests, metrics (promtool), the unit (systemd-analyze), and with Prometheus beside a local stack under light
# load that every query of every dashboard and alert can be evaluated, and that every panel shows something; then
# restarts, certificates, PROXY headers and client certificates behind haproxy under load (local/balanced), and each
# alert by its fault (local/alerts).
# Installs Debian's prometheus, haproxy, openssl, systemd, logrotate, nodejs, npm and python3 where they are absent
# (root), and the linters into the user's cache.
# Usage: deploy/test-operate.sh [BIN]   (BIN: folder with local, enclave, parent, api, canary; default: built)
set -euo pipefail
cd "$(dirname "$0")/.."
unset AWS_CA_BUNDLE AWS_PROFILE
CFN_LINT=1.41.0
MOTO=5.2.5
CFN_VALIDATE=1.9.0-beta # its newest; there is no other kind yet
validate=${XDG_CACHE_HOME:-$HOME/.cache}/redoubt/cfn-validate-$CFN_VALIDATE
work=$(mktemp -d)
pids=()
finish() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

PATH=$PATH:/usr/sbin
need() { # PROGRAM PACKAGE...
  command -v "$1" >/dev/null || .ci/apt "${@:2}"
}
need promtool prometheus
need haproxy haproxy
need openssl openssl
need systemd-analyze systemd
need logrotate logrotate
need node nodejs
cache=$(.ci/venv "cfn-lint-$CFN_LINT" "cfn-lint==$CFN_LINT")
if [ ! -d "$validate/node_modules/@aws/cloudformation-validate" ]; then
  need npm npm
  mkdir -p "$validate"
  npm install --prefix "$validate" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
    "@aws/cloudformation-validate@$CFN_VALIDATE"
fi

echo "== templates and rules"
lint() { "$cache/bin/cfn-lint" "$@" && node deploy/cloudformation/validate.mjs "$validate/node_modules" "$@"; }
lint deploy/cloudformation/*.yaml
# The linters themselves: a property that does not exist is found. Then what the patterns take and refuse.
sed 's/EnableKeyRotation:/EnableKeyTurning:/' deploy/cloudformation/key.yaml >"$work/bad.yaml"
if "$cache/bin/cfn-lint" "$work/bad.yaml" >/dev/null; then echo "cfn-lint finds nothing"; exit 1; fi
if node deploy/cloudformation/validate.mjs "$validate/node_modules" "$work/bad.yaml" >/dev/null 2>&1; then
  echo "cloudformation-validate finds nothing"; exit 1
fi
"$cache/bin/python" deploy/cloudformation/patterns.py
moto=$(.ci/venv "moto-$MOTO-cloudformation" "moto[cloudformation,events,server]==$MOTO")
"$moto/bin/python" -W ignore deploy/cloudformation/moto_deploy.py 2>/dev/null ||
  { "$moto/bin/python" deploy/cloudformation/moto_deploy.py; exit 1; } # once more, with what moto says
"$cache/bin/python" deploy/cloudformation/models.py
promtool check rules deploy/prometheus/alerts.yaml deploy/prometheus/alerts-*.yaml
for config in prometheus prometheus-lambda; do promtool check config --syntax-only "deploy/prometheus/$config.yaml"; done
promtool test rules deploy/prometheus/alerts_test.yaml
"$cache/bin/python" deploy/prometheus/complete.py

echo "== unit"
# The program, its users and the allocator's unit exist on a Nitro host alone; the rest of the unit is checked as it is.
unit=$work/redoubt-parent.service
sed -e 's#/usr/local/bin/redoubt-parent#/bin/true#' -e '/^Requires=nitro/d' \
  -e 's/^\(User\|Group\)=.*/\1=daemon/' -e '/^SupplementaryGroups=/d' deploy/systemd/redoubt-parent.service >"$unit"
systemd-analyze verify --man=no "$unit"
stated=$(sed -n 's/.*`systemd-analyze security --offline=true` says \([0-9.]*\).*/\1/p' deploy/README.md)
cp deploy/systemd/redoubt-parent.service "$unit"
exposure=$(systemd-analyze security --offline=true --no-pager "$unit" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
[ -n "$stated" ] && [ "$stated" = "$exposure" ] || { echo "exposure is $exposure, deploy/README.md says '$stated'"; exit 1; }

echo "== files that the user data writes"
written() { # NAME: the text that goes to a file of that name
  awk -v name="/$1 <<EOF" 'index($0, name) {on = 1; next} on && $1 == "EOF" {exit} on {sub(/^ {12}/, ""); print}' \
    deploy/cloudformation/vault.yaml | sed -e 's/${AWS::StackName}/redoubt-vault/' >"$work/$1"
  [ -s "$work/$1" ]
}
written redoubt-prometheus.yaml
promtool check config --syntax-only "$work/redoubt-prometheus.yaml"
written redoubt
sed 's/^\( *su\) .*/\1 daemon daemon/' "$work/redoubt" >"$work/logrotate.conf" # whose user exists on a host alone
chmod 0644 "$work/logrotate.conf"
logrotate --debug "$work/logrotate.conf" >"$work/logrotate.log" 2>&1 || { cat "$work/logrotate.log"; exit 1; }
if grep -i error "$work/logrotate.log"; then exit 1; fi # it goes on after what it does not know

bin=${1:-$work/bin}
if [ $# -eq 0 ]; then
  mkdir "$bin"
  CGO_ENABLED=0 go build -o "$bin/" ./parent ./api ./deploy/local ./deploy/canary
  CGO_ENABLED=0 go build -tags dev -o "$bin/enclave" ./enclave
fi

echo "== local stack, canary, Prometheus"
read -r -a port < <(python3 - <<'P'
import socket
s = [socket.socket() for _ in range(9)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])
P
)
at() { echo "127.0.0.1:${port[$1]}"; }
"$bin/local" run --bin "$bin" --state "$work/s" --quiet --api "$(at 0)" --api-metrics "$(at 1)" --parent "$(at 2)" \
  --parent-metrics "$(at 3)" --kms "$(at 4)" --kms-tls "$(at 5)" >"$work/stack.log" 2>&1 &
pids+=($!)
touch "$work/stack.log"
for _ in $(seq 120); do grep -q '^Serving' "$work/stack.log" && break; sleep 0.5; done
grep -q '^Serving' "$work/stack.log" || { cat "$work/stack.log"; exit 1; }
AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local-secret "$bin/canary" --api-url "http://$(at 0)/v1" \
  --kms-key alias/redoubt --kms-endpoint "http://$(at 4)" --every 2s --metrics-listen "$(at 6)" &
pids+=($!)
sed -e "s/127.0.0.1:9180/$(at 3)/; s/127.0.0.1:9181/$(at 1)/; s/127.0.0.1:9182/$(at 6)/" -e 's/15s/1s/' \
  deploy/prometheus/prometheus.yaml >"$work/prometheus.yaml"
cp deploy/prometheus/alerts.yaml deploy/prometheus/alerts-*.yaml "$work/"
prometheus --config.file="$work/prometheus.yaml" --storage.tsdb.path="$work/tsdb" --web.listen-address="$(at 7)" \
  --log.level=error &
pids+=($!)
curl -sf "http://$(at 3)/ready"
curl -sf -o "$work/page.html" "http://$(at 3)/" && grep -q '<title>Redoubt parent' "$work/page.html"

echo "== light load, 30 s"
end=$((SECONDS + 30))
while [ $SECONDS -lt $end ]; do
  # The stack's own vaults are under a domain, so KMS is asked for the keys of the examples alone, and then remembered.
  curl -sf -o /dev/null -H 'Content-Type: application/json' -d '{}' "http://$(at 3)/purge"
  for n in 1 2 3; do
    curl -sf -o /dev/null "http://$(at 2)/decrypt" -H 'Content-Type: application/json' -d @"$work/s/examples/encoding-$n.json"
  done
  curl -s -o /dev/null "http://$(at 2)/v1/decrypt" -H 'Content-Type: application/json' -d '{}' # a refusal, to be shown
  sleep 0.2
done
for i in 1 3 6; do curl -sf "http://$(at $i)/metrics" | promtool check metrics; done
sed '/^rule_files/d' "$work/prometheus.yaml" >"$work/native.yaml"
prometheus --config.file="$work/native.yaml" --storage.tsdb.path="$work/native" --web.listen-address="$(at 8)" \
  --enable-feature=native-histograms --log.level=error &
pids+=($!)
for _ in $(seq 30); do curl -sf -o /dev/null "http://$(at 8)/-/ready" && break; sleep 0.5; done
python3 deploy/prometheus/exported.py "http://$(at 8)" "http://$(at 1)/metrics" "http://$(at 3)/metrics" \
  "http://$(at 6)/metrics"
python3 deploy/grafana/evaluate.py "http://$(at 7)"
for p in "${pids[@]}"; do kill "$p" && wait "$p" || true; done
pids=()

echo "== behind a load balancer"
go test -tags operate -count=1 -v ./deploy/local/balanced -bin "$(realpath "$bin")"

echo "== each alert, by its fault"
go test -tags operate -count=1 -v ./deploy/local/alerts -bin "$(realpath "$bin")"
echo "operate: all good"

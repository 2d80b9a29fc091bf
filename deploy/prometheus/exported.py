#!/usr/bin/env python3
"""Compares deploy/METRICS.md with what running programs export, and with what a Prometheus of native histograms keeps.

Usage: exported.py PROMETHEUS METRICS... (URLs: of a Prometheus that was told to take native histograms and scrapes the
programs, and of each program's /metrics). Exits 1 when a metric is exported and not listed, listed and not exported
(but for those that depend on how a program is run), or a listed histogram is not a native one.
"""
import json
import re
import sys
import time
import urllib.parse
import urllib.request

# Only with a certificate, and only with a collector of spans.
DEPENDS = {
    "redoubt_parent_certificate_life_seconds", "redoubt_parent_trace_spans_total", "redoubt_api_trace_spans_total",
}
PATIENCE = 30  # seconds


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def native(prometheus, name):
    """The number of series of which Prometheus keeps native histograms."""
    query = urllib.parse.urlencode({"query": f"count(histogram_count({name}))"})
    result = json.loads(get(f"{prometheus}/api/v1/query?{query}"))["data"]["result"]
    return int(float(result[0]["value"][1])) if result else 0


def main():
    prometheus, programs = sys.argv[1], sys.argv[2:]
    with open("deploy/METRICS.md", encoding="utf-8") as page:
        listed = dict(re.findall(r"^\| `(redoubt_\w+)` \| (counter|gauge|histogram) \|", page.read(), re.M))
    exported = {}
    for url in programs:
        exported.update(re.findall(r"^# TYPE (redoubt_\w+) (\w+)$", get(url), re.M))
    bad = [f"{n} is exported as {k} and listed as {listed.get(n)}" for n, k in exported.items() if listed.get(n) != k]
    bad += [f"{n} is listed and not exported" for n in listed if n not in exported and n not in DEPENDS]
    histograms = [n for n, k in listed.items() if k == "histogram"]
    end = time.monotonic() + PATIENCE
    while any(not native(prometheus, n) for n in histograms) and time.monotonic() < end:
        time.sleep(1)
    bad += [f"{n} is no native histogram" for n in histograms if not native(prometheus, n)]
    for text in sorted(bad):
        print(text, file=sys.stderr)
    print(f"{len(exported)} metrics exported as listed, {len(histograms)} native histograms")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Evaluates every dashboard query and every alert at a running Prometheus: evaluate.py URL.

A panel's query must return a number; an alert's must be a valid query, and none may fire on a stack that is well.
"""
import glob
import json
import math
import os
import sys
import time
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))

# Panels without a value on a stack that is well, with the reason.
EXCEPTIONS = {"What the API asks in vain": "an outcome of a dependency is exposed once it has happened"}


def get(base, path, **query):
    with urllib.request.urlopen(base + path + "?" + urllib.parse.urlencode(query), timeout=10) as answer:
        return json.load(answer)["data"]


def shows(base, expr):
    result = get(base, "/api/v1/query", query=expr)["result"]
    return any(not math.isnan(float(r["value"][1])) for r in result)


def main(base):
    bad, queries = [], 0
    for path in sorted(glob.glob(os.path.join(HERE, "dashboards", "*.json"))):
        with open(path, encoding="utf-8") as file:
            board = json.load(file)
        for panel in board["panels"]:
            for target in panel["targets"]:
                queries += 1
                if panel["title"] not in EXCEPTIONS and not shows(base, target["expr"]):
                    bad.append(f"{board['title']}: {panel['title']}: no data: {target['expr']}")
    rules = [r for g in get(base, "/api/v1/rules")["groups"] for r in g["rules"]]
    for rule in rules:
        if rule["health"] != "ok":
            bad.append(f"rule {rule['name']}: {rule['health']} {rule.get('lastError', '')}")
        if rule["type"] == "alerting" and rule["state"] == "firing":
            bad.append(f"alert {rule['name']} fires on a stack that is well")
    print(f"{queries} queries of dashboards and {len(rules)} rules evaluated, {len(bad)} bad")
    for line in bad:
        print("  " + line)
    return 1 if bad or not queries or not rules else 0


if __name__ == "__main__":
    time.sleep(2)
    sys.exit(main(sys.argv[1]))

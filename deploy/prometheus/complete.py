#!/usr/bin/env python3
"""Checks that each alert has a runbook where its annotation leads, a test in which it fires, and one in which it does
not although what it watches is there."""
import os
import re
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return yaml.safe_load(file)


# The rule files, and the programs whose metrics each may ask for.
FILES = {"alerts.yaml": ("parent", "enclave"), "alerts-api.yaml": ("api",), "alerts-canary.yaml": ("canary",)}


def rules(name):
    return [rule for group in load(name)["groups"] for rule in group["rules"]]


def main():
    with open(os.path.join(HERE, "..", "README.md"), encoding="utf-8") as file:
        entries = re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", file.read(), re.M | re.S)
    anchors = {heading.lower(): body.strip() for heading, body in entries}
    fires, silent = {}, {}
    for test in load("alerts_test.yaml")["tests"]:
        series = " ".join(s["series"] for s in test["input_series"])
        for case in test["alert_rule_test"]:
            kind = fires if case["exp_alerts"] else silent
            kind.setdefault(case["alertname"], []).append(series)
    bad = []
    files = {name: rules(name) for name in FILES}
    alerts = [r for name in FILES for r in files[name] if "alert" in r]
    for name, own in FILES.items():
        for rule in files[name]:
            for metric in re.findall(r"redoubt_([a-z]+)_", rule["expr"]):
                if metric not in own:
                    bad.append(f"{name}: {rule.get('alert', rule.get('record'))} watches {metric}, which is scraped elsewhere")
            # A process that a deployment does not have must not be missed there.
            if "absent(" in rule["expr"] and name == "alerts.yaml":
                bad.append(f"{name}: {rule['alert']} fires where there is nothing to scrape")
    for config in ("prometheus.yaml", "prometheus-lambda.yaml"):
        scrape = load(config)
        jobs = {job["job_name"].removeprefix("redoubt-") for job in scrape["scrape_configs"]}
        for name in scrape["rule_files"]:
            if not jobs & set(FILES[name]):
                bad.append(f"{config}: loads {name} and scrapes nothing that it watches")
    for alert in alerts:
        name = alert["alert"]
        if alert["annotations"].get("runbook") != "deploy/README.md#" + name.lower():
            bad.append(f"{name}: runbook {alert['annotations'].get('runbook')}")
        if len(anchors.get(name.lower(), "")) < 40:
            bad.append(f"{name}: no runbook at its anchor")
        if alert["labels"].get("severity") not in ("page", "ticket"):
            bad.append(f"{name}: severity")
        if name not in fires:
            bad.append(f"{name}: no test in which it fires")
        # Silence proves something only beside the very metrics that could break it. Recorded ones come from these.
        watched = set(re.findall(r"redoubt_\w+|\bup\b", alert["expr"])) or {"redoubt_parent_http_requests_total"}
        for metric in watched:
            if not any(metric in s for s in silent.get(name, [])):
                bad.append(f"{name}: no test in which it is silent beside {metric}")
    print(f"{len(alerts)} alerts, {len(bad)} gaps")
    for line in bad:
        print("  " + line)
    return 1 if bad or not alerts else 0


if __name__ == "__main__":
    sys.exit(main())

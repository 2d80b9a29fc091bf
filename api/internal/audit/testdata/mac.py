"""Recomputes the MACs of audit entries from the description in doc.go alone, with Python's standard library.

Standard input is JSON: {"kms": hex, "entries": [...]}, where kms is the key that in production never leaves KMS and an
entry has vault, time, event, reason, fields, chain, seq, and as hex prev, link, body, hash. Prints how many are genuine.
"""
import hashlib
import hmac
import json
import struct
import sys


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def part(data):
    return struct.pack(">I", len(data)) + data


def entry(e):
    out = b"redoubt/v2/audit\0" + part(e["vault"].encode()) + struct.pack(">q", e["time"])
    out += part(e["event"].encode()) + part(e["reason"].encode()) + struct.pack(">I", len(e["fields"] or []))
    for name in e["fields"] or []:
        out += part(name.encode())
    out += part(e["chain"].encode()) + struct.pack(">Q", e["seq"])
    return out + part(bytes.fromhex(e["prev"])) + part(bytes.fromhex(e["link"])) + part(bytes.fromhex(e["body"]))


def main():
    log = json.load(sys.stdin)
    genuine = 0
    for e in log["entries"]:
        kind, writer = e["chain"].split(".", 1)
        assert kind == "m1"
        key = mac(bytes.fromhex(log["kms"]), b"redoubt/v1/audit-writer\0" + writer.split("-")[0].encode())
        genuine += mac(key, entry(e)) == bytes.fromhex(e["hash"])
    print(genuine)


main()

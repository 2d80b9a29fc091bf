#!/usr/bin/env python3
"""Sealed requests and answers, with other code than made vectors.json: Python's cryptography (OpenSSL), HPKE as package
domain's check.py spells it out, and the layout of doc.go.

Opens the requests and answers of vectors.json and seals them again. With --make it also seals requests of its own, which
the Go tests open: python.json. Needs the PyPI package cryptography with ML-KEM (47 or newer). Prints what it checked;
ends with status 1 at the first difference.
"""
import hashlib
import json
import os
import struct
import sys

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

here = os.path.dirname(os.path.abspath(__file__))
domain_data = os.path.join(here, "..", "..", "domain", "testdata")
sys.path.insert(0, domain_data)
import check as hpke  # noqa: E402

L, u16, expand = hpke.L, hpke.u16, hpke.expand


def padme(n):
    """The next length of n's class, at least 256."""
    n = max(n, 256)
    e = n.bit_length() - 1
    unit = 1 << (e - e.bit_length())
    return (n + unit - 1) // unit * unit


def padded(body):
    return body + bytes(padme(len(body)) - len(body))


def domain_of(name):
    with open(os.path.join(domain_data, name)) as f:
        return json.load(f)


def request_key(v, s):
    ikm = expand(bytes.fromhex(v["k_request"]), b"request" + bytes([s]), hpke.SUITES[s].n)
    return hpke.key_from(s, ikm)


def labels(exporter):
    return exporter(b"redoubt/request/v1", 48), exporter(b"redoubt/answer/v1", 48)


def request_body(x):
    auth, message = bytes.fromhex(x["auth"]), bytes.fromhex(x["message"])
    body = struct.pack(">QB", x["created"], x["auth_kind"]) + L(auth)
    return padded(body + struct.pack(">BI", x["kind"], len(message)) + message)


def answer_body(x):
    message = bytes.fromhex(x["answer_message"])
    body = struct.pack(">QIBI", x["time"], x["policy"], x["answer_kind"], len(message)) + message
    receipt = bytes.fromhex(x["receipt"])
    return padded(body + (b"\1" + receipt if receipt else b"\0"))


def seal(secret, info, body, aad):
    kn = expand(secret, info, 44)
    return AESGCM(kn[:32]).encrypt(kn[32:], body, aad)


def head_of(v, s, enc, salt):
    return b"RDS1" + bytes([s]) + bytes.fromhex(v["dh"])[:32] + L(enc) + salt


def name_of(head, request):
    return hashlib.sha256(head + request[-16:]).hexdigest()[:32]


def check_exchange(x):
    name, v, r = x["name"], domain_of(x["domain"]), bytes.fromhex(x["request"])
    s = r[4]
    n = struct.unpack(">H", r[37:39])[0]
    enc, salt = r[39:39 + n], r[39 + n:55 + n]
    head = head_of(v, s, enc, salt)
    hpke.check(name + ": head", r[:len(head)], head)
    dh = bytes.fromhex(v["dh"])
    Q, R = labels(hpke.exporter(s, request_key(v, s), enc, b"redoubt/request/v1" + dh))
    hpke.check(name + ": request", r[len(head):], seal(Q, b"request" + salt, request_body(x), head))
    hpke.check(name + ": id", name_of(head, r), x["id"])
    if x["auth_kind"] == 3:
        auth = bytes.fromhex(x["auth"])
        public = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32).public_key()
        public.verify(auth[-64:], b"redoubt/caller/v1\0" + dh + L(enc) + auth[:-64])
        hpke.done.append(name + ": signature")
    a = bytes.fromhex(x["answer"])
    sealed = seal(R, b"answer" + salt + a[:16], answer_body(x), head + r[-16:])
    hpke.check(name + ": answer", a[16:], sealed)


def encapsulate(s, public):
    """The shared secret and enc of a fresh encapsulation, for the KEM of the suite."""
    suite = hpke.SUITES[s]
    if s == 4:
        shared, ct = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
        own, theirs = x25519.X25519PrivateKey.generate(), public[1184:]
        cx = own.public_key().public_bytes_raw()
        both = own.exchange(x25519.X25519PublicKey.from_public_bytes(theirs))
        return hashlib.sha3_256(shared + both + cx + theirs + b"\\.//^\\").digest(), ct + cx
    own = ec.generate_private_key(suite.curve)
    dh = own.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(suite.curve, public))
    enc, sid = hpke.point(own.public_key()), b"KEM" + u16(suite.kem)
    prk = hpke.labeled_extract(b"", sid, b"eae_prk", dh, suite.h)
    return hpke.labeled_expand(prk, sid, b"shared_secret", enc + public, suite.h.digest_size, suite.h), enc


def sender_exporter(s, shared, info):
    """The key schedule of RFC 9180, section 5.1, from the shared secret."""
    suite = hpke.SUITES[s]
    h, sid = suite.h, b"HPKE" + u16(suite.kem) + u16(suite.kdf) + u16(2)
    ctx = b"\0" + hpke.labeled_extract(b"", sid, b"psk_id_hash", b"", h)
    ctx += hpke.labeled_extract(b"", sid, b"info_hash", info, h)
    exp = hpke.labeled_expand(hpke.labeled_extract(shared, sid, b"secret", b"", h), sid, b"exp", ctx, h.digest_size, h)
    return lambda label, n: hpke.labeled_expand(exp, sid, b"sec", label, n, h)


def make():
    made = []
    for i, (s, file) in enumerate([(1, "more.json"), (2, "vectors.json"), (3, "more.json"), (4, "vectors.json")]):
        v = domain_of(file)
        dh = bytes.fromhex(v["dh"])
        shared, enc = encapsulate(s, hpke.public(s, request_key(v, s)))
        Q, R = labels(sender_exporter(s, shared, b"redoubt/request/v1" + dh))
        salt, salt2 = struct.pack(">Q", 9) + os.urandom(8), os.urandom(16)
        x = {
            "name": f"sealed by Python, suite {s}", "domain": file, "created": 1764370000000 + i, "auth_kind": 0, "auth": "",
            "kind": i, "message": os.urandom(300 * i).hex(), "time": 1764370000123, "policy": 2**32 - 1, "answer_kind": 200,
            "answer_message": os.urandom(1000 * i).hex(), "receipt": os.urandom(56 * (i % 2)).hex(),
        }
        head = head_of(v, s, enc, salt)
        request = head + seal(Q, b"request" + salt, request_body(x), head)
        answer = salt2 + seal(R, b"answer" + salt + salt2, answer_body(x), head + request[-16:])
        x.update(request=request.hex(), answer=answer.hex(), id=name_of(head, request))
        made.append(x)
    with open(os.path.join(here, "python.json"), "w") as f:
        json.dump(made, f, indent=1)
        f.write("\n")


if sys.argv[1:] == ["--make"]:
    make()
for file in ("vectors.json", "python.json"):
    with open(os.path.join(here, file)) as f:
        for exchange in json.load(f):
            check_exchange(exchange)
print(len(hpke.done), "values agree")

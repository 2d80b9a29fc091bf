#!/usr/bin/env python3
"""Makes vectors.json: sealed replies, from the package's documentation and RFC 9180, not from our code.

Usage: make_vectors.py > vectors.json      (with cryptography 43 or later; the output is the same each time)

Byte strings are in hex. "results" hold what is sealed ("body") and each step to the blob, which is 03 || enc || ct; "sizes" are Padme's;
"invalid" are bodies that must be refused. HPKE's key schedule is spelt out here; curves and AES are OpenSSL's.
"""
import hashlib
import hmac
import json
import math
import struct

from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

# name: curve, KEM id, KDF id, hash, bytes of the shared secret and of a coordinate
SUITES = {
    "P-256": (ec.SECP256R1(), 0x0010, 0x0001, "sha256", 32, 32),
    "P-384": (ec.SECP384R1(), 0x0011, 0x0002, "sha384", 48, 48),
    "P-521": (ec.SECP521R1(), 0x0012, 0x0003, "sha512", 64, 66),
}
VAULT = "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE"
STRING, JSON, PROBLEM = 1, 2, 3
UNDECLARED = (
    '{"code":"expression_failed","message":"the expression uses a name that is neither a field nor an expression of '
    'the request","kind":"undeclared_name","position":{"line":1,"column":7}}'
)
RESULTS = [
    ("yes", JSON, b"true"),
    ("no", JSON, b"false"),
    ("nothing", JSON, b"null"),
    ("empty", STRING, b""),
    ("first_name", STRING, "Zoë 漢字 \"quoted\"\n".encode()),
    ("typo", PROBLEM, UNDECLARED.encode()),
    ("lost", PROBLEM, b'{"code":"decrypt_failed","message":"the value could not be decrypted"}'),
    ("last_of_the_least", STRING, b"x" * 251),
    ("first_of_the_next", STRING, b"x" * 252),
    ("long", STRING, b"y" * 700),
]


def padme(n):
    if n < 2:
        return n
    e = math.frexp(n)[1] - 1
    s = math.frexp(e)[1] if e else 0
    step = 2 ** (e - s)
    return -(-n // step) * step


def body(kind, value):
    out = struct.pack(">BI", kind, len(value)) + value
    return out + bytes(padme(max(256, len(out))) - len(out))


class HPKE:
    """The sender of RFC 9180 in mode_base, with a given ephemeral key."""

    def __init__(self, suite, recipient, ephemeral, info):
        curve, kem, kdf, self.hash, n_secret, _ = SUITES[suite]
        self.enc = point(ephemeral.public_key())
        kem_id = b"KEM" + struct.pack(">H", kem)
        self.suite_id = b"HPKE" + struct.pack(">HHH", kem, kdf, 2)
        eae = self.extract(kem_id, b"", b"eae_prk", ephemeral.exchange(ec.ECDH(), recipient))
        self.shared = self.expand(kem_id, eae, b"shared_secret", self.enc + point(recipient), n_secret)
        context = b"\0" + self.extract(self.suite_id, b"", b"psk_id_hash", b"")
        context += self.extract(self.suite_id, b"", b"info_hash", info)
        secret = self.extract(self.suite_id, self.shared, b"secret", b"")
        self.exporter = self.expand(self.suite_id, secret, b"exp", context, hashlib.new(self.hash).digest_size)

    def mac(self, key, data):
        return hmac.new(key, data, self.hash).digest()

    def extract(self, suite, salt, label, ikm):
        return self.mac(salt or bytes(hashlib.new(self.hash).digest_size), b"HPKE-v1" + suite + label + ikm)

    def expand(self, suite, prk, label, info, n):
        info = struct.pack(">H", n) + b"HPKE-v1" + suite + label + info
        out, t, i = b"", b"", 1
        while len(out) < n:
            t = self.mac(prk, t + info + bytes([i]))
            out, i = out + t, i + 1
        return out[:n]

    def export(self, context, n):
        return self.expand(self.suite_id, self.exporter, b"sec", context, n)


def point(public):
    return public.public_bytes(ser.Encoding.X962, ser.PublicFormat.UncompressedPoint)


def private(suite, label):
    curve, size = SUITES[suite][0], SUITES[suite][5]
    scalar = int.from_bytes(hashlib.shake_256((suite + label).encode()).digest(size), "big") % 2 ** (8 * size - 16)
    return ec.derive_private_key(scalar, curve)


def make(suite):
    key, ephemeral = private(suite, "recipient"), private(suite, "ephemeral")
    info = b"redoubt/v2/reply\0" + VAULT.encode()
    h = HPKE(suite, key.public_key(), ephemeral, info)
    results = []
    for name, kind, value in RESULTS:
        keys = h.export(b"redoubt/v3/field\0" + name.encode(), 44)
        aad, plain = b"\x03" + name.encode(), body(kind, value)
        ct = AESGCM(keys[:32]).encrypt(keys[32:], plain, aad)
        results.append(dict(name=name, type=kind, value=value.hex(), body=plain.hex(), key=keys[:32].hex(),
                            nonce=keys[32:].hex(), aad=aad.hex(), ct=ct.hex()))
    pkcs8 = key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    return dict(suite=suite, vault_id=VAULT, private_key=pkcs8.hex(), info=info.hex(), enc=h.enc.hex(),
                shared_secret=h.shared.hex(), exporter_secret=h.exporter.hex(), results=results)


def invalid():
    good = body(STRING, b"abc")
    return {
        "empty": b"",
        "type 0": bytes([0]) + good[1:],
        "type 4": bytes([4]) + good[1:],
        "a byte short": good[:-1],
        "a byte more": good + b"\0",
        "padded to another class": good + bytes(16),
        "a byte of padding is not zero": good[:-1] + b"\1",
        "the first byte of padding is not zero": good[:8] + b"\1" + good[9:],
        "a length beyond the end": good[:1] + struct.pack(">I", 252) + good[5:],
        "a length of 2^32-1": good[:1] + b"\xff" * 4 + good[5:],
        "less than the least": body(STRING, b"")[:128],
    }


def main():
    lengths = [0, 1, 2, 3, 9, 100, 250, 251, 252, 256, 257, 283, 284, 511, 512, 1000, 4096, 65535, 65536, 10**6, 2**21 + 1]
    print(json.dumps(dict(
        sizes=[dict(length=n, padme=padme(n), sealed=padme(max(256, n + 5))) for n in lengths],
        replies=[make(s) for s in SUITES],
        invalid=[dict(name=n, body=b.hex()) for n, b in invalid().items()],
    ), indent=1, ensure_ascii=False))


main()

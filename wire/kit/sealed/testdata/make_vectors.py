#!/usr/bin/env python3
"""Makes the python-*.json vectors, and checks the others, with an implementation that shares no code with Go's.

    python3 -m venv venv && venv/bin/pip install hpke==0.3.2 cryptography==43.0.3
    venv/bin/python make_vectors.py make fixtures      # once; refuses to overwrite
    venv/bin/python make_vectors.py check fixtures     # opens every fixture, also those of mkfixtures

hpke 0.3.2 does its elliptic curves in OpenSSL (through cryptography). crypto/hpke and circl both stand on Go's
crypto/ecdh, so that their agreement alone would prove little. A fixture must open forever: never make one anew.
"""

import base64
import json
import pathlib
import sys

import hpke
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SUITES = {
    "P-256": (hpke.Suite__DHKEM_P256_HKDF_SHA256__HKDF_SHA256__AES_256_GCM, ec.SECP256R1(), 65, "48504b45001000010002"),
    "P-384": (hpke.Suite__DHKEM_P384_HKDF_SHA384__HKDF_SHA384__AES_256_GCM, ec.SECP384R1(), 97, "48504b45001100020002"),
    "P-521": (hpke.Suite__DHKEM_P521_HKDF_SHA512__HKDF_SHA512__AES_256_GCM, ec.SECP521R1(), 133, "48504b45001200030002"),
}
VAULT = "v_2Xb1Zy8kJmQp4rT6wN0cVfHsLdE"
FIELDS = {
    "ssn": "123-45-6789",
    "first_name": "Zoë 漢字 🙂",
    "a": "",
    "address_line_2": "x" * 1024,
}


def b64(b):
    return base64.b64encode(b).decode()


def unb64(s):
    return base64.b64decode(s, validate=True)


def field_keys(export, name):
    return export(b"redoubt/v3/field\x00" + name, 32 + 12)


def make(name):
    suite, curve, _, suite_id = SUITES[name]
    key = ec.generate_private_key(curve)
    pub, info = key.public_key(), VAULT.encode()
    fields = []
    for field, text in FIELDS.items():
        aad, plain = field.encode(), text.encode()
        enc, ct = suite.seal(pub, info, aad, plain)
        fields.append({"encoding": 1, "name": field, "plaintext": b64(plain), "sealed": enc.hex() + "#" + ct.hex()})
        enc, ct = suite.seal(pub, info, aad, plain)
        fields.append({"encoding": 2, "name": field, "plaintext": b64(plain), "sealed": b64(enc + ct)})
    enc, ctx = suite.setup_send(pub, info)
    for field, text in FIELDS.items():
        aad, plain = b"\x03" + field.encode(), text.encode()
        keys = field_keys(ctx.export, field.encode())
        ct = AESGCM(keys[:32]).encrypt(keys[32:], plain, aad)
        fields.append({"encoding": 3, "name": field, "plaintext": b64(plain), "sealed": b64(b"\x03" + enc + ct)})
    return {
        "made_by": "make_vectors.py, hpke 0.3.2, cryptography 43.0.3 (OpenSSL)",
        "suite": name,
        "suite_id": suite_id,
        "vault_id": VAULT,
        "public_key": b64(pub.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo)),
        "pkcs8": b64(key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, ser.NoEncryption())),
        "sec1": b64(key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.TraditionalOpenSSL, ser.NoEncryption())),
        "context": {
            "enc": b64(enc),
            "key": b64(ctx.aead.key),
            "base_nonce": b64(ctx.aead.nonce),
            "exports": [
                {"context": b64(c), "value": b64(ctx.export(c, n))}
                for c, n in ((b"", 32), (b"TestContext", 48), (bytes(range(200)), 100))
            ],
        },
        "fields": fields,
    }


def check(doc):
    suite, curve, size, suite_id = SUITES[doc["suite"]]
    assert doc["suite_id"] == suite_id
    key = ser.load_der_private_key(unb64(doc["pkcs8"]), None)
    assert key.curve.name == curve.name
    assert doc["public_key"] == b64(
        key.public_key().public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo))
    info = doc["vault_id"].encode()
    for f in doc["fields"]:
        name, want = f["name"].encode(), unb64(f["plaintext"])
        if f["encoding"] == 1:
            enc, ct = (bytes.fromhex(part) for part in f["sealed"].split("#", 1))
            got = suite.open(enc, key, info, name, ct)
        elif f["encoding"] == 2:
            blob = unb64(f["sealed"])
            got = suite.open(blob[:size], key, info, name, blob[size:])
        else:
            blob = unb64(f["sealed"])
            assert blob[0] == 3
            ctx = suite.setup_recv(blob[1:1 + size], key, info)
            keys = field_keys(ctx.export, name)
            got = AESGCM(keys[:32]).decrypt(keys[32:], blob[1 + size:], b"\x03" + name)
        assert got == want, f["name"]
    return len(doc["fields"])


def main():
    mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if mode == "make":
        for name in SUITES:
            with open(folder / f"python-{name.lower()}.json", "x", encoding="utf-8") as f:
                json.dump(make(name), f, indent=1)
                f.write("\n")
    for path in sorted(folder.glob("*.json")):
        print(path.name, check(json.loads(path.read_text("utf-8"))), "fields open")


main()

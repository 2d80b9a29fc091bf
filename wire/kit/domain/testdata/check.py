#!/usr/bin/env python3
"""Checks vectors.json and more.json with other code than made them: Python's cryptography (OpenSSL), and HPKE (RFC 9180),
X-Wing and the domain's formats spelt out from doc.go.

Needs the PyPI package cryptography with ML-KEM (47 or newer). Prints what it checked; ends with status 1 at the first
difference.
"""
import hashlib
import json
import os
import struct
import sys

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

done = []


def check(name, a, b):
    if a != b:
        print("differs:", name)
        sys.exit(1)
    done.append(name)


def u16(n):
    return struct.pack(">H", n)


def L(b):
    return u16(len(b)) + b


def s384(b):
    return hashlib.sha384(b).digest()


def extract(salt, ikm, h=hashes.SHA384()):
    m = hmac.HMAC(salt or b"\0" * h.digest_size, h)
    m.update(ikm)
    return m.finalize()


def expand(prk, info, n, h=hashes.SHA384()):
    return HKDFExpand(h, n, info).derive(prk)


def gcm_open(kn, aad, ct):
    return AESGCM(kn[:32]).decrypt(kn[32:], ct, aad)


class Suite:
    """An HPKE suite: KEM, KDF, hash, size of a private key; for a curve the curve, its order, the mask of a candidate."""

    def __init__(self, kem, kdf, h, n, curve=None, order=0, mask=0xFF):
        self.kem, self.kdf, self.h, self.n, self.curve, self.order, self.mask = kem, kdf, h, n, curve, order, mask


SUITES = {
    1: Suite(0x0010, 1, hashes.SHA256(), 32, ec.SECP256R1(),
             0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
    2: Suite(0x0011, 2, hashes.SHA384(), 48, ec.SECP384R1(),
             0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973),
    3: Suite(0x0012, 3, hashes.SHA512(), 66, ec.SECP521R1(),
             0x1FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
             0x01),
    4: Suite(0x647A, 1, hashes.SHA256(), 32),
}


def labeled_extract(salt, sid, label, ikm, h):
    return extract(salt, b"HPKE-v1" + sid + label + ikm, h)


def labeled_expand(prk, sid, label, info, n, h):
    return expand(prk, u16(n) + b"HPKE-v1" + sid + label + info, n, h)


def point(key):
    n, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    return b"\4" + n.x.to_bytes(size, "big") + n.y.to_bytes(size, "big")


def key_from(s, ikm):
    suite = SUITES[s]
    if not suite.curve:
        return ikm
    sid = b"KEM" + u16(suite.kem)
    prk = labeled_extract(b"", sid, b"dkp_prk", ikm, suite.h)
    for c in range(256):
        k = bytearray(labeled_expand(prk, sid, b"candidate", bytes([c]), suite.n, suite.h))
        k[0] &= suite.mask
        if 0 < int.from_bytes(k, "big") < suite.order:
            return bytes(k)


def xwing(seed):
    e = hashlib.shake_256(seed).digest(96)
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(e[:64]), x25519.X25519PrivateKey.from_private_bytes(e[64:])


def curve_key(s, sk):
    return ec.derive_private_key(int.from_bytes(sk, "big"), SUITES[s].curve)


def public(s, sk):
    if s == 4:
        m, c = xwing(sk)
        return m.public_key().public_bytes_raw() + c.public_key().public_bytes_raw()
    return point(curve_key(s, sk).public_key())


def decap(s, sk, enc):
    suite = SUITES[s]
    if s == 4:
        m, c = xwing(sk)
        ct, cx = enc[:1088], enc[1088:]
        shared = m.decapsulate(ct) + c.exchange(x25519.X25519PublicKey.from_public_bytes(cx))
        return hashlib.sha3_256(shared + cx + c.public_key().public_bytes_raw() + b"\\.//^\\").digest()
    k = curve_key(s, sk)
    sid = b"KEM" + u16(suite.kem)
    dh = k.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(suite.curve, enc))
    prk = labeled_extract(b"", sid, b"eae_prk", dh, suite.h)
    return labeled_expand(prk, sid, b"shared_secret", enc + point(k.public_key()), suite.h.digest_size, suite.h)


def exporter(s, sk, enc, info):
    suite = SUITES[s]
    h = suite.h
    sid = b"HPKE" + u16(suite.kem) + u16(suite.kdf) + u16(2)
    ctx = b"\0" + labeled_extract(b"", sid, b"psk_id_hash", b"", h) + labeled_extract(b"", sid, b"info_hash", info, h)
    secret = labeled_extract(decap(s, sk, enc), sid, b"secret", b"", h)
    exp = labeled_expand(secret, sid, b"exp", ctx, h.digest_size, h)
    return lambda label, n: labeled_expand(exp, sid, b"sec", label, n, h)


def check_file(name, suites, allowed, requests, epochs, resealed):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name)) as f:
        v = json.load(f)

    def x(k):
        return bytes.fromhex(v[k])

    D, gen, vid = v["domain"].encode(), int(v["generation"]), v["vault_id"].encode()
    prk = extract(b"redoubt/domain/v1", x("domain_secret"))

    def lab(w):
        return b"redoubt/domain/" + w + b"/v1" + L(D) + u16(gen)

    K = {w: expand(prk, lab(w.encode()), 48) for w in ("vault", "seed", "index", "token", "request")}
    for w in K:
        check("K_" + w, K[w], x("k_" + w))
    vk = Ed25519PrivateKey.from_private_bytes(expand(prk, lab(b"statement"), 32)).public_key()
    req = {s: key_from(s, expand(K["request"], b"request" + bytes([s]), SUITES[s].n)) for s in requests}
    for s in req:
        check(f"request key {s}", req[s], x(f"request_sk_{s}"))
    desc = b"RDD1" + u16(gen) + L(D) + struct.pack(">Q", int(v["created_ms"])) + bytes([len(allowed)] + allowed)
    desc += vk.public_bytes_raw() + bytes([len(requests)])
    desc += b"".join(bytes([s]) + L(public(s, req[s])) for s in requests)
    check("descriptor", desc, x("descriptor"))
    dh = s384(desc)
    check("dh", dh, x("dh"))

    wraps = [""] + (["_2"] if "arn_2" in v else [])
    record = L(desc) + bytes([len(wraps)])
    for suffix in wraps:
        arn, salt = v["arn" + suffix].encode(), x("wrap_salt" + suffix)
        kn = expand(extract(salt, x("data_key" + suffix)), b"redoubt/domain/wrap/v1" + dh, 44)
        sealed = AESGCM(kn[:32]).encrypt(kn[32:], x("domain_secret"), dh + L(arn))
        record += L(arn) + L(x("data_key_blob" + suffix)) + salt + sealed
    check("domain record", record, x("domain_record"))

    H = {}
    for s in suites:
        epoch = epochs[s]
        ikm = expand(extract(x(f"seed_random_{s}"), K["seed"]), b"seed" + bytes([s]) + L(vid) + u16(epoch), SUITES[s].n)
        sk = key_from(s, ikm)
        check(f"vault sk {s}", sk, x(f"vault_sk_{s}"))
        pk = public(s, sk)
        check(f"vault pk {s}", s384(pk), x(f"vault_pk_sha384_{s}"))
        w = x(f"wrapped_key_{s}")
        head = w[:54]
        check(f"head {s}", head, bytes([0xD1, s]) + u16(gen) + u16(epoch) + w[6:22] + s384(pk)[:32])
        unwrapped = gcm_open(expand(K["vault"], b"wrap" + L(vid) + head, 44), head + L(D) + L(vid), w[54:])
        check(f"unwrap {s}", unwrapped, sk)
        label = b"redoubt/vault-moved/v1\0" if v.get(f"statement_kind_{s}") == "moved" else b"redoubt/vault-key/v1\0"
        vk.verify(x(f"statement_signature_{s}"), label + dh + L(vid) + s384(w) + s384(pk))
        done.append(f"statement {s}")
        enc = x(f"enc_{s}")
        R = exporter(s, sk, enc, vid)(b"redoubt/v4/record", 48)
        h = L(vid) + L(w) + u16(2)
        for field, value in ((b"dob", b"1990-12-10"), (b"ssn9", b"123456789")):
            f = x(f"field_{field.decode()}_{s}")
            check(f"ref {s}", f[:9], b"\5" + hashlib.sha256(enc).digest()[:8])
            check(f"field {field} {s}", gcm_open(expand(R, b"field" + field, 44), b"\5" + field, f[9:]), value)
            h += L(field) + s384(L(enc) + f[9:])
        H[s] = s384(h)
    old, new = resealed
    check("reseal old", H[old], x("reseal_h_old"))
    check("reseal new", H[new], x("reseal_h_new"))
    vk.verify(x("reseal_signature"), b"redoubt/reseal/v1\0" + dh + H[old] + H[new])
    done.append("reseal signature")
    return v, x, D, gen, vid, dh, req


def check_requests(v, x, dh, req):
    """Sealed requests to the domain's request keys."""
    for s in (2, 4):
        r = x(f"sealed_request_{s}")
        check(f"magic {s}", r[:5], b"RDS1" + bytes([s]))
        check(f"names domain {s}", r[5:37], dh[:32])
        n = struct.unpack(">H", r[37:39])[0]
        enc, head = r[39:39 + n], r[:39 + n + 16]
        salt, e = head[-16:], exporter(s, req[s], enc, b"redoubt/request/v1" + dh)
        kn = expand(e(b"redoubt/request/v1", 48), b"request" + salt, 44)
        body = gcm_open(kn, head, r[len(head):])
        check(f"padded {s}", len(body), 256)
        kind, la = body[8], struct.unpack(">H", body[9:11])[0]
        auth = body[11:11 + la]
        check(f"auth kind {s}", kind, 3)
        caller = Ed25519PublicKey.from_public_bytes(x("caller_public"))
        caller.verify(auth[-64:], b"redoubt/caller/v1\0" + dh + L(enc) + auth[:-64])
        done.append(f"caller {s}")
        p = 11 + la
        m = struct.unpack(">I", body[p + 1:p + 5])[0]
        check(f"message {s}", body[p + 5:p + 5 + m], b"message")
        check(f"zeros {s}", body[p + 5 + m:].strip(b"\0"), b"")
        a = x(f"sealed_answer_{s}")
        kn = expand(e(b"redoubt/answer/v1", 48), b"answer" + salt + a[:16], 44)
        ab = gcm_open(kn, head + r[-16:], a[16:])
        answer = struct.pack(">I", 7) + b"\2" + struct.pack(">I", 6) + b"answer"
        check(f"answer {s}", ab[8:23] + ab[23:].strip(b"\0"), answer)


def check_more(v, x, D, gen, vid, dh):
    """What only more.json has: secrets, the hash of a record of KMS's keys, attested data."""
    for name, keys in (("made_secret_1", x("data_key")), ("made_secret_2", x("data_key") + x("data_key_2"))):
        prk = extract(x("hardware"), x("system") + keys)
        check(name, expand(prk, b"redoubt/domain/secret/v1" + L(D) + u16(gen), 32), x(name))
    h = L(vid) + L(x("kms_wrapped_key"))
    check("record without fields", s384(h + u16(0)), x("kms_h_no_fields"))
    h += u16(2)
    for field, i in ((b"dob", 2), (b"ssn", 1)):
        h += L(field) + s384(L(x(f"kms_enc_{i}")) + x(f"kms_ct_{i}"))
    check("record of KMS's keys", s384(h), x("kms_h"))
    check("created", b"redoubt/v1/domain-created\0" + x("configuration") + dh, x("created_user_data"))
    check("opened", b"redoubt/v1/domain\0" + x("configuration") + dh, x("opened_user_data"))
    check("mac", b"redoubt/v1/domain-mac\0" + dh, x("mac_input"))


if __name__ == "__main__":
    v, x, *_, dh, req = check_file("vectors.json", (4, 2), [4, 2], (2, 4), {4: 1, 2: 2}, (4, 2))
    check_requests(v, x, dh, req)
    v, x, D, gen, vid, dh, _ = check_file(
        "more.json", (1, 2, 3, 4), [3, 1, 2, 4], (1, 3), {1: 1, 3: 2, 2: 3, 4: 65535}, (1, 3))
    check_more(v, x, D, gen, vid, dh)
    print(len(done), "values agree")

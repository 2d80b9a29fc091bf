#!/usr/bin/env python3
"""Cuts Wycheproof's test vectors down to what the tests here use.

    make.py $(go mod download -json github.com/c2sp/wycheproof@VERSION | jq -r .Dir)

Kept: ECDH of the three curves (all points; of the SubjectPublicKeyInfos one good one and all others), AES-256-GCM with
nonces of 12 bytes, HKDF, and for enclave/internal/cms RSAES-OAEP with SHA-256 for hash and MGF1. Values are unchanged;
of the fields of a test those that are not used are left out. The vectors are the work of the Wycheproof authors, under
the Apache License 2.0, as this repository is.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
CMS = HERE / "../../../../../enclave/internal/cms/testdata"


def write(path, source, tests):
    notice = f"{source}, Apache License 2.0, cut by wire/kit/sealed/testdata/wycheproof/make.py"
    lines = ",\n".join(json.dumps(t, separators=(",", ":")) for t in tests)
    path.write_text(f'{{"source": {json.dumps(notice)}, "tests": [\n{lines}\n]}}\n')


def main(folder):
    folder = pathlib.Path(folder)
    source = "github.com/c2sp/" + folder.name

    def tests(file, keep, **group):
        for g in json.loads((folder / "testvectors_v1" / (file + "_test.json")).read_text())["testGroups"]:
            if all(g[k] == v for k, v in group.items()):
                for t in g["tests"]:
                    yield {k: t[k] for k in ["tcId", "comment", "flags", *keep.split(), "result"]}

    for suite, curve in {"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}.items():
        ecdh = "public private shared"
        write(HERE / f"ecdh-point-{suite}.json", source, tests(f"ecdh_{curve}_ecpoint", ecdh))
        keys = list(tests(f"ecdh_{curve}", ecdh))
        write(HERE / f"ecdh-spki-{suite}.json", source, [t for t in keys if t["tcId"] == 1 or t["result"] != "valid"])
    for suite, size in {"P-256": 256, "P-384": 384, "P-521": 512}.items():
        write(HERE / f"hkdf-{suite}.json", source, tests(f"hkdf_sha{size}", "ikm salt info size okm"))
    gcm = tests("aes_gcm", "key iv aad msg ct tag", keySize=256, ivSize=96, tagSize=128)
    write(HERE / "aes-256-gcm.json", source, gcm)

    oaep = []
    for size in 2048, 3072, 4096:
        file = f"rsa_oaep_{size}_sha256_mgf1sha256"
        key = json.loads((folder / "testvectors_v1" / (file + "_test.json")).read_text())["testGroups"][0]
        for t in tests(file, "msg ct label"):
            oaep.append(t | {"keySize": size} | ({"key": key["privateKeyPkcs8"]} if t["tcId"] == 1 else {}))
    write(CMS / "wycheproof-oaep.json", source, oaep)


main(sys.argv[1])

#!/usr/bin/env python3
"""Makes vectors.json: messages of package wire, encoded from the package's documentation, not from its code.

Usage: make_vectors.py > vectors.json
"value" is the message, byte strings in hex; "hex" its body. Entries with "invalid" must be refused by the decoder of
"type"; those with "lax" decode to "value" but are not what an encoder of this version writes.
"""
import json
import struct


def uv(n):
    out = b""
    while True:
        b = n & 0x7F
        n >>= 7
        if n:
            out += bytes([b | 0x80])
        else:
            return out + bytes([b])


def sv(n):
    return uv(((n << 1) ^ (n >> 63)) & (2**64 - 1))


def bs(h):
    b = bytes.fromhex(h)
    return uv(len(b)) + b


def i64(n):
    return struct.pack("<q", n)


def ext(tag, h):
    return uv(tag) + bs(h)


def decrypt_request(v):
    flags = (1 if v["KeyContext"] else 0) | (2 if v["Compat"] else 0) | (4 if v["IncludeMode"] else 0)
    out = bytes([flags, v["Suite"], v["Encoding"]])
    out += bs(v["VaultID"]) + bs(v["Region"]) + bs(v["WrappedKey"])
    out += uv(len(v["Fields"]))
    for f in v["Fields"]:
        out += bytes([1 if f["Include"] else 0]) + bs(f["Name"]) + bs(f["Blob"])
    out += uv(len(v["Expressions"]))
    for e in v["Expressions"]:
        out += bs(e["Name"]) + bs(e["Source"])
    if v["ReplyKey"]:
        out += ext(1, "%02x" % v["ReplySuite"] + v["ReplyKey"])
    if v["CallerToken"]:
        out += ext(2, v["CallerToken"])
    if v["ReportAccess"]:
        out += ext(3, "")
    if v["Domain"]:
        body = bytes.fromhex(v["Domain"]) + uv(len(v["Encs"])) + b"".join(bs(e) for e in v["Encs"])
        out += ext(4, (body + bytes(f["Enc"] for f in v["Fields"])).hex())
    return out


def access(reads):
    out = uv(len(reads))
    for r in reads:
        out += uv(r["Expression"]) + uv(2 * r["Field"] + (1 if r["Raw"] else 0))
    return ext(2, out.hex())


def decrypt_response(v):
    out = bytes([v["Code"]]) + uv(v["RetryAfterMS"]) + uv(len(v["Results"]))
    for r in v["Results"]:
        out += bytes([r["Kind"]]) + uv(r["Index"]) + bytes([r["Code"], r["ValueKind"]]) + bs(r["Value"])
    if v["Failures"]:
        out += ext(1, failures(v["Failures"]).hex())
    if v["AccessReported"]:
        out += access(v["Reads"])
    return out


def failures(fs):
    return uv(len(fs)) + b"".join(uv(f["Index"]) + bytes([f["Kind"]]) + uv(f["Line"]) + uv(f["Column"]) for f in fs)


def hello(v):
    out = struct.pack("<HHQq", v["MinVersion"], v["MaxVersion"], v["Features"], v["StartMS"])
    out += uv(v["MaxInFlight"]) + uv(v["MaxLanes"]) + uv(v["MaxBody"]) + bs(v["BuildID"])
    if v["EnclaveID"]:
        out += ext(2, v["EnclaveID"])
    for p in v["PCRs"]:
        out += ext(1, "%02x" % p["Index"] + p["Value"])
    return out


def stats(v):
    out = uv(len(v["Values"]))
    for s in v["Values"]:
        out += uv(s["ID"]) + sv(s["Value"])
    out += uv(len(v["Histograms"]))
    for h in v["Histograms"]:
        out += uv(h["Stage"]) + uv(h["SumUS"]) + uv(len(h["Counts"]))
        for c in h["Counts"]:
            out += uv(c)
    return out


def log(v):
    out = bytes([v["Level"]]) + i64(v["TimeMS"]) + uv(v["Dropped"]) + bs(v["Text"]) + uv(len(v["Numbers"]))
    for n in v["Numbers"]:
        out += bs(n["Key"]) + sv(n["Value"])
    return out


def data_keys(keys):
    return uv(len(keys)) + b"".join(bs(k["ARN"]) + bs(k["Ciphertext"]) for k in keys)


def vault_key(k):
    return bs(k["Wrapped"]) + bs(k["Public"]) + bytes.fromhex(k["Statement"])


def create_domain(v):
    return (bs(v["ID"]) + struct.pack("<H", v["Generation"]) + bs(v["Suites"]) + bs(v["RequestSuites"]) +
            data_keys(v["DataKeys"]) + bs(v["Nonce"]))


def mint(v):
    return bytes.fromhex(v["Domain"]) + bytes([v["Suite"], v["Count"]])


def minted(v):
    return uv(len(v["Keys"])) + b"".join(bs(k["VaultID"]) + vault_key(k["Key"]) for k in v["Keys"])


def reseal(v):
    return bytes.fromhex(v["To"]) + bytes([v["Suite"]]) + struct.pack("<H", v["Epoch"]) + decrypt_request(v["Old"])


def resealed(v):
    out = bytes([v["Code"]]) + uv(v["RetryAfterMS"])
    if v["Code"] == 0:
        out += vault_key(v["Key"]) + bs(v["Enc"]) + uv(len(v["Fields"])) + b"".join(bs(f) for f in v["Fields"])
        out += bytes.fromhex(v["Statement"])
    if v["Domain"]:
        out += ext(1, v["Domain"])
    if v["Unopened"]:
        out += ext(2, v["Unopened"])
    return out


ENCODERS = {
    "CreateDomainRequest": create_domain,
    "CreateDomainResponse": lambda v: bs(v["Record"]) + bs(v["Document"]),
    "WrapDomainRequest": lambda v: bs(v["Record"]) + data_keys(v["DataKeys"]),
    "WrapDomainResponse": lambda v: bs(v["Record"]),
    "MintRequest": mint,
    "MintResponse": minted,
    "ResealRequest": reseal,
    "ResealResponse": resealed,
    "DecryptRequest": decrypt_request,
    "DecryptResponse": decrypt_response,
    "Hello": hello,
    "Stats": stats,
    "Log": log,
    "Credentials": lambda v: i64(v["ExpiresMS"]) + bs(v["AccessKeyID"]) + bs(v["Secret"]) + bs(v["Token"]),
    "Purge": lambda v: bs(v["VaultID"]),
    "Purged": lambda v: uv(v["Keys"]) + uv(v["Contexts"]),
    "Ping": lambda v: i64(v["ClockMS"]),
    "Pong": lambda v: i64(v["ClockMS"]) + uv(v["Health"]) + uv(v["InFlight"]) + uv(v["Queued"]),
    "AttestRequest": lambda v: bs(v["Nonce"]),
    "AttestResponse": lambda v: bs(v["Document"]),
    "DomainRecord": lambda v: bs(v["Record"]),
    "GoAway": lambda v: bytes([v["Code"]]),
    "ErrorBody": lambda v: bytes([v["Code"]]) + uv(v["RetryAfterMS"]),
    "Header": lambda v: struct.pack("<IBBHQI", v["Length"], v["Kind"], v["Flags"], 0, v["ID"], v["DeadlineMS"]),
}


def text(s):
    return s.encode().hex()


def request(**over):
    v = dict(VaultID=text("v_2aAbC"), Region=text("us-east-1"), Suite=1, Encoding=2, KeyContext=False, Compat=False,
             IncludeMode=0, WrappedKey="0102030405", Fields=[], Expressions=[], ReplySuite=0, ReplyKey="",
             CallerToken="", ReportAccess=False, Domain="", Encs=[])
    v.update(over)
    return v


def response(**over):
    v = dict(Code=0, RetryAfterMS=0, Results=[], Failures=[], AccessReported=False, Reads=[])
    v.update(over)
    return v


def read(expression, field, raw=False):
    return dict(Expression=expression, Field=field, Raw=raw)


def field(name, blob, include=False, enc=0):
    return dict(Name=text(name), Blob=blob, Include=include, Enc=enc)


def hello_value(**over):
    v = dict(MinVersion=1, MaxVersion=1, Features=0x5F, StartMS=1767225600000, MaxInFlight=4096, MaxLanes=17,
             MaxBody=2 << 20, BuildID=text("v1.0.0-abcdef"), EnclaveID="", PCRs=[])
    v.update(over)
    return v


def data_key(arn, ciphertext):
    return dict(ARN=text(arn), Ciphertext=ciphertext)


def create_value(**over):
    v = dict(ID=text("acme.patients"), Generation=513, Suites="0402", RequestSuites="04", Nonce="5a" * 32,
             DataKeys=[data_key("arn:aws:kms:us-east-1:1:key/a", "0102"), data_key("arn:aws:kms:eu-west-1:1:key/b", "03")])
    v.update(over)
    return v


def key_value():
    return dict(Wrapped="d104" + "11" * 100, Public="22" * 65, Statement="33" * 64)


def old_value(**over):
    v = request(Suite=4, Encoding=4, Region="", Domain="ab" * 32, Encs=["01" * 20], Fields=[field("a", "05aa")])
    v.update(over)
    return v


def resealed_value(**over):
    v = dict(Code=0, RetryAfterMS=0, Domain="", Unopened="", Key=key_value(), Enc="44" * 65, Fields=["05aa", "05bb"],
             Statement="55" * 64)
    if over.get("Code"):
        v.update(Key=dict(Wrapped="", Public="", Statement=""), Enc="", Fields=[], Statement="")
    v.update(over)
    return v


VALID = [
    ("header of a request", "Header", dict(Length=400, Kind=1, Flags=0, ID=0x0102030405060708, DeadlineMS=30000)),
    ("header of a chunk", "Header", dict(Length=16384, Kind=1, Flags=1, ID=65536, DeadlineMS=0)),
    ("request with nothing in it", "DecryptRequest", request(VaultID="", Region="", WrappedKey="", Suite=0)),
    ("request of two fields, encoding 2", "DecryptRequest",
     request(Fields=[field("ssn9", "04" + "ab" * 10), field("dob", "")])),
    ("request with every part", "DecryptRequest",
     request(Encoding=3, KeyContext=True, Compat=True, IncludeMode=1, Fields=[field("dob", "03aabb", True)],
             Expressions=[dict(Name=text("age"), Source=text("dob.age()"))], ReplySuite=2, ReplyKey="30" * 91,
             CallerToken="c0ffee", ReportAccess=True)),
    ("request with a key of 200 bytes, a two-byte length", "DecryptRequest", request(WrappedKey="5a" * 200)),
    ("response with a value of each kind", "DecryptResponse",
     response(Results=[
         dict(Kind=1, Index=0, Code=0, ValueKind=1, Value=text("Ærø")),
         dict(Kind=1, Index=99, Code=6, ValueKind=0, Value=""),
         dict(Kind=2, Index=0, Code=0, ValueKind=2, Value=text("[1,2]")),
         dict(Kind=2, Index=1, Code=7, ValueKind=0, Value=""),
         dict(Kind=1, Index=1, Code=0, ValueKind=4, Value="03" + "cd" * 20),
         dict(Kind=1, Index=2, Code=0, ValueKind=1, Value="")])),
    ("response that failed", "DecryptResponse", response(Code=4, RetryAfterMS=1500)),
    ("response that says why expressions failed", "DecryptResponse",
     response(Results=[dict(Kind=2, Index=i, Code=7, ValueKind=0, Value="") for i in range(3)],
              Failures=[dict(Index=0, Kind=2, Line=1, Column=7), dict(Index=2, Kind=4, Line=300, Column=65535),
                        dict(Index=99, Kind=6, Line=0, Column=0)])),
    ("response with an access report", "DecryptResponse",
     response(Results=[dict(Kind=2, Index=0, Code=0, ValueKind=1, Value=text("*****6789"))],
              Failures=[dict(Index=1, Kind=2, Line=1, Column=7)], AccessReported=True,
              Reads=[read(0, 0), read(0, 63, True), read(0, 64), read(2, 0, True), read(99, 99, True)])),
    ("response with an access report of nothing", "DecryptResponse", response(AccessReported=True)),
    ("hello of a parent", "Hello", hello_value()),
    ("hello of an enclave", "Hello",
     hello_value(EnclaveID=text("i-0123-enc0123"), PCRs=[dict(Index=0, Value="00" * 48), dict(Index=8, Value="ff" * 48)])),
    ("credentials of a role", "Credentials",
     dict(AccessKeyID=text("ASIAEXAMPLE"), Secret=text("secret"), Token=text("token"), ExpiresMS=1767225600000)),
    ("credentials that last", "Credentials", dict(AccessKeyID=text("local"), Secret=text("local-secret"), Token="", ExpiresMS=0)),
    ("purge of all", "Purge", dict(VaultID="")),
    ("purge of one vault", "Purge", dict(VaultID=text("v_1"))),
    ("purged", "Purged", dict(Keys=300, Contexts=1)),
    ("ping", "Ping", dict(ClockMS=1767225600123)),
    ("ping before the epoch", "Ping", dict(ClockMS=-1)),
    ("pong", "Pong", dict(Health=0x23, ClockMS=1767225600123, InFlight=128, Queued=0)),
    ("stats with a gauge below zero and an unknown id", "Stats",
     dict(Values=[dict(ID=0, Value=7), dict(ID=128, Value=-3), dict(ID=9999, Value=2**63 - 1)],
          Histograms=[dict(Stage=2, SumUS=12345, Counts=[0, 1, 2, 300]), dict(Stage=77, SumUS=0, Counts=[])])),
    ("attest", "AttestRequest", dict(Nonce="00" * 32)),
    ("domain", "DomainRecord", dict(Record="0004" + text("RDD1"))),
    ("decrypt under a domain", "DecryptRequest",
     request(Suite=4, Encoding=4, Region="", KeyContext=False, Domain="ab" * 32, Encs=["01" * 20, "02" * 3],
             Fields=[field("a", "05aa", enc=1), field("b", "05bb")])),
    ("create domain", "CreateDomainRequest", create_value()),
    ("create domain of one suite and key", "CreateDomainRequest",
     create_value(Generation=1, Suites="04", RequestSuites="", DataKeys=[data_key("k", "aa")])),
    ("created domain", "CreateDomainResponse", dict(Record="0004" + text("RDD1"), Document="8444a1013822a0")),
    ("wrap domain", "WrapDomainRequest", dict(Record="0004" + text("RDD1"), DataKeys=[data_key("k", "aa")])),
    ("check domain", "WrapDomainRequest", dict(Record="0004" + text("RDD1"), DataKeys=[])),
    ("wrapped domain", "WrapDomainResponse", dict(Record="0004" + text("RDD1"))),
    ("mint", "MintRequest", dict(Domain="ab" * 32, Suite=0, Count=64)),
    ("minted", "MintResponse", dict(Keys=[dict(VaultID=text("v_1"), Key=key_value()),
                                          dict(VaultID=text("v_2"), Key=key_value())])),
    ("reseal within a domain", "ResealRequest", dict(To="cd" * 32, Suite=4, Epoch=258, Old=old_value())),
    ("reseal from a key of KMS's", "ResealRequest",
     dict(To="cd" * 32, Suite=0, Epoch=1, Old=request(KeyContext=True, Fields=[field("a", "00"), field("b", "11" * 130)]))),
    ("resealed", "ResealResponse", resealed_value()),
    ("reseal of an unknown domain", "ResealResponse", resealed_value(Code=12, Domain="ab" * 32)),
    ("reseal with fields that do not open", "ResealResponse", resealed_value(Code=6, Unopened="000263")),
    ("reseal with a key that does not open", "ResealResponse", resealed_value(Code=6)),
    ("reseal that was throttled", "ResealResponse", resealed_value(Code=4, RetryAfterMS=1500)),
    ("attested", "AttestResponse", dict(Document="8444a1013822a0")),
    ("log", "Log", dict(Level=2, TimeMS=1767225600000, Dropped=130, Text=text("key cache is full"),
                        Numbers=[dict(Key=text("keys"), Value=200000), dict(Key=text("delta"), Value=-64)])),
    ("go away", "GoAway", dict(Code=10)),
    ("error", "ErrorBody", dict(Code=8, RetryAfterMS=250)),
]

# Bodies of a later version: extensions that this one does not know, at the end of known messages.
LAX = [(n + ", with extensions of a later version", t, v, ext(900, "ff" * 200) + ext(7, ""))
       for n, t, v in VALID if t not in ("Header", "Credentials")]
LAX.append(("response with a kind of a later version", "DecryptResponse",
            response(),
            ext(1, failures([dict(Index=1, Kind=200, Line=1, Column=1), dict(Index=2, Kind=0, Line=0, Column=0)]).hex())))
LAX.append(("header with unknown flags and reserved bytes", "Header",
            dict(Length=1, Kind=200, Flags=0xFE, ID=1, DeadlineMS=1), None))

LAX.append(("reseal with what belongs to other codes", "ResealResponse", resealed_value(Code=8),
            ext(1, "ab" * 32) + ext(2, "00")))

R = decrypt_request(request(Fields=[field("a", "00")]))


def reseal_old(body):
    return (bytes.fromhex("cd" * 32) + b"\0\1\0" + body).hex()


INVALID = [
    ("empty", "DecryptRequest", ""),
    ("unknown flag", "DecryptRequest", (bytes([0x80]) + R[1:]).hex()),
    ("encoding 0", "DecryptRequest", (R[:2] + b"\x00" + R[3:]).hex()),
    ("encoding 5", "DecryptRequest", (R[:2] + b"\x05" + R[3:]).hex()),
    ("vault id of 257 bytes", "DecryptRequest", (b"\0\1\2" + bs("61" * 257)).hex()),
    ("vault id longer than what is left", "DecryptRequest", "00010240" + "61" * 10),
    ("101 fields", "DecryptRequest", (b"\0\1\2\0\0\0" + uv(101) + b"\0\0\0" * 101 + b"\0").hex()),
    ("100 fields announced, none there", "DecryptRequest", (b"\0\1\2\0\0\0" + uv(100)).hex()),
    ("101 expressions", "DecryptRequest", (b"\0\1\2\0\0\0\0" + uv(101) + b"\0\0" * 101).hex()),
    ("length not in its shortest form", "DecryptRequest", "000102" + "8000" + "00" * 10),
    ("length of eleven bytes", "DecryptRequest", "000102" + "ff" * 10 + "01"),
    ("length of 2^64-1", "DecryptRequest", (b"\0\1\2" + uv(2**64 - 1)).hex()),
    ("extension cut short", "DecryptRequest", (R + b"\x05\x05a").hex()),
    ("reply key without key", "DecryptRequest", (R + ext(1, "02")).hex()),
    ("token too long", "DecryptRequest", (R + ext(2, "00" * 4097)).hex()),
    ("truncated", "DecryptRequest", R[:-1].hex()),
    ("result of unknown kind", "DecryptResponse", (b"\0\0\1" + b"\3\0\0\0\0").hex()),
    ("result with index 100", "DecryptResponse", (b"\0\0\1" + b"\1\x64\0\0\0").hex()),
    ("value though it failed", "DecryptResponse", (b"\0\0\1" + b"\1\0\6\1\1a").hex()),
    ("value though absent", "DecryptResponse", (b"\0\0\1" + b"\1\0\0\0\1a").hex()),
    ("unknown value kind", "DecryptResponse", (b"\0\0\1" + b"\1\0\0\5\0").hex()),
    ("access report cut short", "DecryptResponse", (b"\0\0\0" + ext(2, "0100")).hex()),
    ("access report with more than it says", "DecryptResponse", (b"\0\0\0" + ext(2, "01000000")).hex()),
    ("access report twice", "DecryptResponse", (b"\0\0\0" + access([]) + access([])).hex()),
    ("access report though it failed", "DecryptResponse", (b"\4\0\0" + access([])).hex()),
    ("access report out of order", "DecryptResponse", (b"\0\0\0" + access([read(1, 0), read(0, 0)])).hex()),
    ("access report with a read twice", "DecryptResponse",
     (b"\0\0\0" + access([read(0, 0), read(0, 0, True)])).hex()),
    ("access report of expression 100", "DecryptResponse", (b"\0\0\0" + access([read(100, 0)])).hex()),
    ("access report of field 100", "DecryptResponse", (b"\0\0\0" + access([read(0, 100)])).hex()),
    ("10001 reads", "DecryptResponse", (b"\0\0\0" + ext(2, (uv(10001) + b"\0\0" * 10001).hex())).hex()),
    ("report asked for with a value", "DecryptRequest", (R + ext(3, "00")).hex()),
    ("value sealed without padding", "DecryptResponse", (b"\0\0\1" + b"\1\0\0\3\0").hex()),
    ("results though it failed", "DecryptResponse", (b"\6\0\1" + b"\1\0\0\0\0").hex()),
    ("201 results", "DecryptResponse", (b"\0\0" + uv(201) + b"\1\0\0\0\0" * 201).hex()),
    ("failure of expression 100", "DecryptResponse", (b"\0\0\0" + ext(1, "0164020000")).hex()),
    ("101 failures", "DecryptResponse", (b"\0\0\0" + ext(1, (uv(101) + b"\0\2\0\0" * 101).hex())).hex()),
    ("failure cut short", "DecryptResponse", (b"\0\0\0" + ext(1, "01000201")).hex()),
    ("line of 2^32", "DecryptResponse", (b"\0\0\0" + ext(1, (b"\1\0\2" + uv(2**32) + b"\0").hex())).hex()),
    ("bytes behind the failures", "DecryptResponse", (b"\0\0\0" + ext(1, "010002000000")).hex()),
    ("versions crossed", "Hello", hello(hello_value(MinVersion=2, MaxVersion=1)).hex()),
    ("version 0", "Hello", hello(hello_value(MinVersion=0)).hex()),
    ("PCR 32", "Hello", hello(hello_value(PCRs=[dict(Index=32, Value="00")])).hex()),
    ("PCR of 65 bytes", "Hello", hello(hello_value(PCRs=[dict(Index=1, Value="00" * 65)])).hex()),
    ("33 PCRs", "Hello", hello(hello_value(PCRs=[dict(Index=1, Value="00")] * 33)).hex()),
    ("no secret", "Credentials", (i64(0) + bs("61") + bs("") + bs("")).hex()),
    ("secret of 257 bytes", "Credentials", (i64(0) + bs("61") + bs("62" * 257) + bs("")).hex()),
    ("nonce of 7 bytes", "AttestRequest", bs("00" * 7).hex()),
    ("nonce of 65 bytes", "AttestRequest", bs("00" * 65).hex()),
    ("domain record of 16385 bytes", "DomainRecord", bs("00" * 16385).hex()),
    ("domain without an id", "CreateDomainRequest", create_domain(create_value(ID="")).hex()),
    ("domain id of 64 bytes", "CreateDomainRequest", create_domain(create_value(ID="61" * 64)).hex()),
    ("generation 0", "CreateDomainRequest", create_domain(create_value(Generation=0)).hex()),
    ("domain without suites", "CreateDomainRequest", create_domain(create_value(Suites="")).hex()),
    ("nine suites", "CreateDomainRequest", create_domain(create_value(Suites="01" * 9)).hex()),
    ("three request suites", "CreateDomainRequest", create_domain(create_value(RequestSuites="010203")).hex()),
    ("domain without data keys", "CreateDomainRequest", create_domain(create_value(DataKeys=[])).hex()),
    ("17 data keys", "CreateDomainRequest", create_domain(create_value(DataKeys=[data_key("k", "aa")] * 17)).hex()),
    ("ARN of 2049 bytes", "CreateDomainRequest", create_domain(create_value(DataKeys=[data_key("k" * 2049, "aa")])).hex()),
    ("data key of 6145 bytes", "CreateDomainRequest", create_domain(create_value(DataKeys=[data_key("k", "aa" * 6145)])).hex()),
    ("creation with a nonce of 7 bytes", "CreateDomainRequest", create_domain(create_value(Nonce="00" * 7)).hex()),
    ("created record of 16385 bytes", "CreateDomainResponse", (bs("00" * 16385) + b"\0").hex()),
    ("two data keys for one wrap", "WrapDomainRequest", (b"\0" + data_keys([data_key("k", "aa")] * 2)).hex()),
    ("wrapped record of 16385 bytes", "WrapDomainResponse", bs("00" * 16385).hex()),
    ("mint of no key", "MintRequest", "ab" * 32 + "0400"),
    ("mint of 65 keys", "MintRequest", "ab" * 32 + "0441"),
    ("mint in a name of 31 bytes", "MintRequest", "ab" * 31 + "0401"),
    ("65 keys minted", "MintResponse", minted(dict(Keys=[dict(VaultID="", Key=key_value())] * 65)).hex()),
    ("minted key with a statement cut short", "MintResponse",
     minted(dict(Keys=[dict(VaultID="", Key=dict(Wrapped="", Public="", Statement="33" * 63))])).hex()),
    ("public key of 1217 bytes", "MintResponse",
     minted(dict(Keys=[dict(VaultID="", Key=dict(Wrapped="", Public="22" * 1217, Statement="33" * 64))])).hex()),
    ("reseal to epoch 0", "ResealRequest", reseal(dict(To="cd" * 32, Suite=4, Epoch=0, Old=old_value())).hex()),
    ("reseal with an expression", "ResealRequest",
     reseal_old(decrypt_request(old_value(Expressions=[dict(Name=text("x"), Source=text("1"))])))),
    ("reseal for compatibility", "ResealRequest", reseal_old(decrypt_request(old_value(Compat=True)))),
    ("reseal with a choice of fields", "ResealRequest", reseal_old(decrypt_request(old_value(IncludeMode=1)))),
    ("reseal with a field to return", "ResealRequest",
     reseal_old(decrypt_request(old_value(Fields=[field("a", "05aa", include=True)])))),
    ("reseal with a reply key", "ResealRequest", reseal_old(decrypt_request(old_value(ReplySuite=2, ReplyKey="30")))),
    ("reseal with a token", "ResealRequest", reseal_old(decrypt_request(old_value(CallerToken="00")))),
    ("reseal with an access report", "ResealRequest", reseal_old(decrypt_request(old_value(ReportAccess=True)))),
    ("domain_unknown without a domain", "ResealResponse", "0c00"),
    ("domain_unknown with a name of 31 bytes", "ResealResponse", "0c00" + ext(1, "ab" * 31).hex()),
    ("unopened fields out of order", "ResealResponse", "0600" + ext(2, "0201").hex()),
    ("unopened field 100", "ResealResponse", "0600" + ext(2, "64").hex()),
    ("resealed without a statement", "ResealResponse", resealed(resealed_value(Statement="")).hex()),
    ("101 fields resealed", "ResealResponse", resealed(resealed_value(Fields=["05"] * 101)).hex()),
    ("encapsulated key of 1121 bytes", "ResealResponse", resealed(resealed_value(Enc="44" * 1121)).hex()),
    ("encoding 4 without a domain", "DecryptRequest", (R[:2] + b"\x04" + R[3:]).hex()),
    ("a domain with encoding 2", "DecryptRequest", (R + ext(4, "ab" * 32 + "0100" + "00")).hex()),
    ("document of 16385 bytes", "AttestResponse", bs("00" * 16385).hex()),
    ("513 values", "Stats", (uv(513) + b"\0\0" * 513 + b"\0").hex()),
    ("65 buckets", "Stats", (b"\0\1\0\0" + uv(65) + b"\0" * 65).hex()),
    ("text of 257 bytes", "Log", (b"\1" + i64(0) + b"\0" + bs("61" * 257) + b"\0").hex()),
    ("nine numbers", "Log", (b"\1" + i64(0) + b"\0" + bs("61") + uv(9) + b"\0\0" * 9).hex()),
    ("19 bytes", "Header", "00" * 19),
    ("frame of 16385 bytes", "Header", struct.pack("<IBBHQI", 16385, 1, 0, 0, 1, 0).hex()),
    ("frame of 2^32-1 bytes", "Header", struct.pack("<IBBHQI", 2**32 - 1, 1, 0, 0, 1, 0).hex()),
    ("empty chunk", "Header", struct.pack("<IBBHQI", 0, 1, 1, 0, 1, 0).hex()),
    ("chunk of 4095 bytes", "Header", struct.pack("<IBBHQI", 4095, 1, 1, 0, 1, 0).hex()),
    ("health beyond 32 bits", "Pong", (i64(0) + uv(2**32) + b"\0\0").hex()),
    ("vault id of 257 bytes", "Purge", bs("61" * 257).hex()),
    ("vault id that is cut off", "Purge", "0261"),
    ("no contexts", "Purged", "01"),
    ("count that is not in its shortest form", "Purged", "018000"),
    ("clock of seven bytes", "Ping", "00" * 7),
    ("extension that is cut off", "Ping", "00" * 8 + "0102"),
    ("nothing", "GoAway", ""),
    ("nothing", "ErrorBody", ""),
    ("retry after beyond 32 bits", "ErrorBody", (b"\1" + uv(2**32)).hex()),
]


def main():
    out = []
    for name, kind, value in VALID:
        out.append(dict(name=name, type=kind, value=value, hex=ENCODERS[kind](value).hex()))
    for name, kind, value, tail in LAX:
        if tail is None:
            body = bytearray(ENCODERS[kind](value))
            body[6:8] = b"\xff\xff"
        else:
            body = ENCODERS[kind](value) + tail
        out.append(dict(name=name, type=kind, value=value, hex=bytes(body).hex(), lax=True))
    for name, kind, body in INVALID:
        out.append(dict(name=name, type=kind, hex=body, invalid=True))
    print(json.dumps(out, indent=1, ensure_ascii=False))


main()

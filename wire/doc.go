// Package wire is the contract between parent and enclave: streams, frames, messages, codes and limits. It makes no
// policy and imports no tier.
//
// # What it guarantees
//
// Every decoder takes bytes of a hostile peer: it checks each count and length against a limit and against what is
// left before it loops or allocates, fails with an error that wraps [ErrMalformed] and quotes nothing, and
// neither panics nor reads beyond its input. Decoding borrows from the input; encoding appends to the caller's slice;
// neither allocates once a message has been used before (Reset keeps its slices). It does not encrypt or authenticate:
// the transport identifies the peer (by a vsock context id or a socket's owner), and the parent is trusted with no more
// than the enclave's threat model says.
//
// # Numbers
//
// u8, u16, u32, u64, i64 are fixed, little endian. uv is an unsigned LEB128 varint of at most ten bytes in its shortest
// form (others are refused). sv is a uv of the zigzag form (n<<1)^(n>>63). bytes is uv length and that many bytes; its
// limit is in brackets. list is uv count and that many elements. Names, texts and ids are UTF-8 by convention;
// nothing here depends on it.
//
// # Streams
//
// A connection carries one yamux session (version 0, as hashicorp/yamux has it); the parent is its client. Each
// stream begins with four bytes from the side that opened it: 'R' 'd' type 0.
//
//	type 1  control, opened by the parent first, exactly one
//	type 2  lane, opened by the parent, for single requests
//	type 3  lane, opened by the parent, for the items of batches
//	type 4  egress, opened by the enclave: u16 length (1..260) and "host:port"; the parent answers one byte (0 connected,
//	        1 refused, 2 unreachable); after 0 the stream carries bytes both ways
//
// The accepting side closes a stream of another type; the session goes on. yamux's pings are answered, and never sent.
// A peer that leaves 16 answers unread and goes on pinging loses the session. Only the parent opens odd streams, only
// the enclave even ones, and none before the control stream: others end the session, as does an enclave that has more
// egress streams open than the parent's limit and 64. A write to the connection is at most 31 KiB ([MaxWrite]).
//
// # Frames
//
// Control stream and lanes carry frames, each a header of 20 bytes and a body:
//
//	0   u32  length of the body, at most 16384
//	4   u8   kind
//	5   u8   flags; bit 0: more of this message follows. Other bits are sent as 0 and ignored
//	6   u16  0; ignored
//	8   u64  id; an answer has its request's. Ids of one stream's requests in flight differ; 0 where nothing is answered
//	16  u32  time left in milliseconds when it was written, 0 for no deadline; 0 in answers
//
// A message longer than 16384 bytes is cut: all frames but the last have bit 0 and a body of 4096 to 16384 bytes; all
// have the same kind and id; deadline and flags of the first count. Frames of other messages may come between. A
// message has at most 2 MiB, or less if the receiver's hello says so; a sender has at most 32 MiB ([MaxAssembly]) of
// messages begun and not ended on a stream.
// Requests on a lane (kinds 1, 3, 5, 7 and 9) are answered in any order, each once: with the answer's kind or with kind
// 254, error. A kind that
// a lane's receiver does not know is answered with error, bad_request. Unknown kinds on the control stream are
// answered so by the enclave and dropped by the parent. What breaks these rules ends the session.
//
// # Messages
//
// A body is fixed fields in order, then extensions up to its end: each uv tag and bytes value, in any order. Tags that
// the receiver does not know are skipped, so that a later version adds fields without another kind; malformed
// extensions are refused. Where a bit or a number is not known to the receiver, the text below says what it does.
//
//	1    decrypt       u8 flags (1 key_context, 2 compat, 4 include listed; others refused), u8 suite, u8 encoding 1..4,
//	                   bytes[256] vault id, bytes[64] region, bytes[6144] wrapped key,
//	                   list[100] of field: u8 flags (1 include; others refused), bytes[256] name, bytes blob,
//	                   list[100] of expression: bytes[256] name, bytes[65536] source
//	                   extension 1, behind feature 7: u8 suite and the reply key, SubjectPublicKeyInfo in DER [2048].
//	                   Each result is then code 0 and value kind 4, whatever became of it, and only what was asked for
//	                   is there: without the feature the request is bad_request
//	                   extension 2: caller token [4096], reserved
//	                   extension 3, empty: asks for the access report; sent only under feature bit 9
//	                   extension 4, once, with encoding 4 and never without, behind feature 10: the domain's name [32],
//	                   list[32] of bytes[1120] encapsulated key, and for each field u8, the index of its key in that
//	                   list. Region is then empty, and key_context 0
//	2    decrypted     u8 code, uv retry after in ms, list[200] of result: u8 kind (1 field, 2 expression), uv index
//	                   in the request's list of that kind, u8 code, u8 value kind (0 absent, 1 string raw, 2 JSON text,
//	                   4 sealed, package sealed/reply; 3 was another layout and is refused), bytes value. A code other
//	                   than 0 goes with no results; a result's code other than 0 goes with no value. Unknown codes are
//	                   taken as internal
//	                   extension 1, behind feature 8: list[100] of why an expression failed: uv index in the request's
//	                   list of expressions, u8 kind ([ExpressionKind]), uv line and uv column in bytes, both from 1, or
//	                   both 0. Unknown kinds are passed over
//	                   extension 2, once, with code 0, if the request asked for it: the access report, list[10000] of: uv
//	                   index of an expression below 100, uv twice the index of a field below 100 that it reads, plus 1 if
//	                   its result may hold that field unchanged; in the order of expressions and, for each, of fields
//	3    create domain bytes[63] id, u16 generation, list[8] of u8 suite, list[2] of u8 suite of request keys,
//	                   list[16] of data key: bytes[2048] ARN, bytes[6144] ciphertext; bytes[8..64] nonce. Kinds 3 to
//	                   10 are behind feature 11
//	4    created domain bytes[16384] record (package domain), bytes[16384] attestation document
//	5    wrap domain   bytes[16384] record, list[1] of data key
//	6    wrapped domain bytes[16384] record
//	7    mint          domain's name [32], u8 suite (0: the domain's default), u8 count 1..64
//	8    minted        list[64] of: bytes[256] vault id, vault key: bytes[6144] wrapped, bytes[1216] public key,
//	                   statement [64]
//	9    reseal        name of the new key's domain [32], u8 suite (0: the domain's default), u16 epoch from 1; then the
//	                   body of a decrypt, with its extensions, for the vault as it is: no flag but key_context, no
//	                   expressions, no extension but 4
//	10   resealed      u8 code, uv retry after in ms. With code 0: vault key, bytes[1120] encapsulated key, list[100] of
//	                   bytes sealed field of encoding 4, in the request's order, statement of the reseal [64]
//	                   extension 1, always and only with code domain_unknown: the name of the domain [32]
//	                   extension 2, only with code decrypt_failed: for each field that does not open u8, its index,
//	                   ascending; without it the key does not open. Other failures come as kind 254
//	16   hello         u16 min version, u16 max version, u64 features, i64 start time, uv max in flight, uv max lanes,
//	                   uv max body, bytes[128] build id
//	                   extension 1, repeated: u8 PCR index below 32 and its value [64]; extension 2: enclave id [256]
//	17   credentials   i64 expiry (0 never), bytes[256] access key id, bytes[256] secret, bytes[8192] session token
//	18   purge         bytes[256] vault id, empty for all
//	19   purged        uv keys, uv contexts
//	20   ping          i64 clock
//	21   pong          i64 clock, uv health bits ([Health]), uv requests in work, uv of those waiting
//	22   stats request empty
//	23   stats         list[512] of: uv id ([StatID]), sv value; list[512] of histogram: uv stage ([Stage]),
//	                   uv sum in µs, list[64] of uv count per bucket ([BucketBoundsUS]; of [Stage.Fine], those of
//	                   [FineBoundsNS]). Unknown ids and stages are kept
//	24   attest        bytes[8..64] nonce
//	25   attested      bytes[16384] document, COSE_Sign1
//	26   log           u8 level 0..3 (higher is taken as 3), i64 clock, uv messages dropped before it, bytes[256] text,
//	                   list[8] of: bytes[64] key, sv number
//	27   go away       u8 code
//	28   domain        bytes[16384] record (package domain); behind feature 10, answered with ack or error
//	254  error         u8 code, uv retry after in ms
//	255  ack           empty
//
// Times are Unix milliseconds. The codes are [Code].
//
// # Versions
//
// Both sides send hello first on the control stream, the parent before it opens another stream, with id 0. The session
// uses the highest version that both know, and the features that both announce; with no version in common it ends.
// Version 1 is this page. A later version keeps the streams, the header, the layout of hello and the rules for
// extensions, so that peers one version apart work together and either may be rolled first: what is new goes into
// extensions, kinds sent only under a feature bit, and ids that old peers skip.
//
// # Features
//
//	0    batch_lane       The peer takes a lane of its own for batches. Since the first release.
//	1    egress           The parent carries egress streams, and the enclave asks for them. Since the first release.
//	2    log              The parent takes the enclave's log. Since the first release.
//	3    unpadded_reply   Given up before a release: answers sealed to a caller's key without padding.
//	4    encoding_3       The enclave opens encoding 3. Since the first release.
//	5    attest           The enclave makes attestation documents for callers. Since the first release.
//	6    stats            The enclave answers stats requests. Since the first release.
//	7    padded_reply     The enclave seals answers to a caller's key, padded, and the parent carries them. Without it
//	                      a reply key is bad_request: no older layout is made in its place. Since the first release.
//	8    expression_kinds The enclave tells the kinds of expressions that failed, and the parent reads them: extension
//	                      1 of the response. Since the first release.
//	9    access_report    The enclave reports which fields expressions read. Since the first release.
//	10   domains          The enclave takes records of domains, and opens encoding 4 under them: kind 28, and
//	                      extension 4 of the request. Since the first release.
//	11   domain_writes    The enclave makes domains, wraps and vault keys, and reseals, as its measured file allows:
//	                      kinds 3 to 10. Since the first release.
//
// # Sources
//
// yamux: github.com/hashicorp/yamux/spec.md. LEB128 and zigzag: protocol buffers encoding. HPKE suites and encodings:
// RFC 9180 and package sealed. Limits: the reference's, and the vsock behaviour measured for [MaxWrite]. Vectors made
// by an independent encoder are in testdata.
package wire

// Package domain holds formats and cryptography of domain keys, for the enclave, which has a domain's secret, and for
// those who check what the enclave made: the API, and callers. It does no I/O.
//
// # What a domain is
//
// A domain (a tenant, a class of data, or a shard of either) has, for each generation, one secret of 32 bytes that KMS
// wraps. The enclave opens it with one call, and makes and unwraps the key pairs of vaults by itself. So a vault needs
// no call to KMS, may have a suite that KMS does not know, and can get a new key.
//
// # Formats
//
// Integers are big endian. L(x) is the length of x as u16, and x. HKDF is RFC 5869 with SHA-384; a "key and nonce" are
// 44 bytes of Expand, for one message of AES-256-GCM. Suites and their numbers are those of package sealed; keys are
// serialized as RFC 9180 says. Text in quotes is ASCII; \0 is a zero byte.
//
//	descriptor  "RDD1" || generation u16 || L(domain id) || created u64 (ms) || n u8 || n * suite u8 || vk[32]
//	            || m u8 || m * (suite u8 || L(request public key))
//	dh          SHA-384(descriptor)
//	record      L(descriptor) || n u8 || n * wrap, at most 16 KiB
//	wrap        L(KMS key ARN) || L(CiphertextBlob of DK) || salt[32] || GCM(DS)[48]
//	            key and nonce: Expand(Extract(salt, DK), "redoubt/domain/wrap/v1" || dh); aad = dh || L(ARN)
//	derived     PRK = Extract("redoubt/domain/v1", DS); lab(w) = "redoubt/domain/" || w || "/v1" || L(domain id)
//	            || generation u16. K_vault, K_seed, K_index, K_token, K_request = Expand(PRK, lab(name), 48);
//	            the seed of vk = Expand(PRK, lab("statement"), 32)
//	request key KeyFrom(s, Expand(K_request, "request" || s, Nsk))
//	vault key   head || GCM(sk), head = 0xD1 || suite u8 || generation u16 || epoch u16 || salt[16]
//	            || SHA-384(pk)[:32]. Key and nonce: Expand(K_vault, "wrap" || L(vault id) || head);
//	            aad = head || L(domain id) || L(vault id)
//	new sk      KeyFrom(s, Expand(Extract(random[32], K_seed), "seed" || s || L(vault id) || epoch u16, Nsk))
//	statement   Ed25519 by vk over "redoubt/vault-key/v1\0" (or "redoubt/vault-moved/v1\0") || dh || L(vault id)
//	            || SHA-384(vault key) || SHA-384(pk)
//	H(record)   SHA-384(L(vault id) || L(vault key) || n u16 || n * (L(name) || SHA-384(L(enc) || ct))), names
//	            ascending by bytes
//	reseal      Ed25519 by vk over "redoubt/reseal/v1\0" || dh || H(old) || H(new)
//	secret      DS = Expand(Extract(hardware random[32], system random[32] || DK), "redoubt/domain/secret/v1"
//	            || L(domain id) || generation u16, 32)
//
// KeyFrom is [sealed.KeyFrom]. testdata holds vectors of each step. vectors.json came first; more.json has the other
// suites, a record of two wraps, and a secret. check.py computes both with other libraries (make test-domain).
//
// # What was decided here
//
// Generations and epochs count from 1: 0 is an absent one. A descriptor or record with bytes after its end, with a
// suite that this release does not know, with a key that is none or, for Ed25519, not canonical or of small order, with
// two wraps of one ARN or without any is refused. A secret that is made for several KMS keys draws on all their data
// keys, in the record's order: with one it is the formula above.
//
// # What it guarantees, and against whom
//
// Against an attacker who has the store: no vault key without the domain's secret. A wrapped key that was moved to
// another vault, domain, generation or epoch, or changed in any bit, does not open ([ErrUnwrap]); the tests flip each
// byte of each format. Against an attacker who writes to the store: a public key counts only with a statement that
// [VerifyKey] accepts, under a descriptor that the caller believes. Against a parent that forges a reseal:
// [Descriptor.VerifyReseal].
//
// A descriptor proves by itself no origin: see [OpenKeys]. A caller believes it because the API authenticated it, or
// because its operator pinned dh, and never for a lower generation than it has used.
//
// Signatures are Ed25519 of RFC 8032, cofactorless. A quantum computer can forge them; what is sealed under X-Wing it
// cannot read.
//
// # Copies of secrets
//
// [Keys] lie in locked memory, and are wiped by Destroy. circl signs, from that memory: crypto/ed25519 would keep a
// copy of the key in the Go heap, and cannot take a key from elsewhere. crypto/hkdf leaves what a derivation passes
// through it in dead heap blocks, as package sealed says. In builds with GOEXPERIMENT=runtimesecret opening a domain,
// minting and unwrapping run under [redoubt/wire/kit/secret.Do]. All other copies are wiped where they are made.
package domain

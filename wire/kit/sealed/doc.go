// Package sealed makes, recognises and opens sealed fields, for the tier that seals (api) and the tier that opens
// (enclave). It defines their format.
//
// # Format
//
// HPKE (RFC 9180) in mode_base. info is the vault id; a field is bound to its name, in lower case. Four encodings:
//
//	1  hex(enc) "#" hex(ct), lower case     aad = name          read forever, never written
//	2  enc || ct                            aad = name          an encapsulation for each field, sequence number 0
//	3  0x03 || enc || ct                    aad = 0x03 || name  one encapsulation for each write, shared by its fields
//	4  0x05 || ref || ct                    aad = 0x05 || name  the same, and enc stands once beside the fields
//
// enc is an uncompressed point (SEC 1, section 2.3.3: 0x04, then x and y) or X-Wing's ciphertext. ct is ciphertext and
// 16-byte tag. In encoding 3 the AEAD key and nonce of a field are Export("redoubt/v3/field" || 0x00 || name, 32 + 12);
// the context's own Seal is never used. A value's form tells its encoding ([Detect]), and [ParseBlob] refuses a value
// that contradicts the stated encoding. Encodings 1 and 2 are those of the reference, the AWS sample that Redoubt
// succeeds. Suites are P-256, P-384, P-521 and X-Wing, each with AES-256-GCM; the curves have the HKDF hash of their
// size, X-Wing has SHA-256. X-Wing's encapsulated keys begin with any byte, and it exists in encoding 4 only.
//
// Encoding 4 is for vaults under a domain, whose key pairs the enclave makes (package domain). ref is the first 8 bytes
// of SHA-256(enc). A record has R = Export("redoubt/v4/record", 48), and a field's AEAD key and nonce are HKDF-Expand
// of RFC 5869 with SHA-384, whatever the suite: Expand(R, "field" || name, 32 + 12). Only Export of HPKE is used, so
// that any library serves, and the [Record] that opens the fields is 48 bytes. [JoinBlob] compares ref with the enc it
// is given; a field that is joined with another enc of the same ref, of which there are some after 2^32 tries, does not
// open either, since R differs.
//
// X-Wing has implicit rejection: each 1,120 bytes decapsulate to something, and a wrong enc shows at the field's tag.
// circl and we take X25519 points of low order, as the draft does; crypto/hpke refuses them. Only a writer who wants
// his own field weaker makes one, and ML-KEM's part of the secret remains.
//
// # What it guarantees, and against whom
//
// Against an attacker who reads the store: confidentiality of plaintexts, but not of their lengths. Against an
// attacker who writes to the store: a field that was moved to another name, record or vault, or changed in any bit,
// does not open. Every such failure is [ErrOpen], with the same text and, as far as it depends on us, the same time.
// HPKE base mode proves neither origin nor freshness: whoever has the public key can make fields, and whoever can
// write to the store can put an old field back. [SealRecord] and [SealFields] make fresh encapsulations in every
// call. There is no sealer that could be used twice.
//
// # Opening
//
// [PrivateKey.Derive] does the public-key work of one encapsulated key, once. The [Context] that it fills opens the
// fields any number of times, in any order. A Context is 108 bytes, in memory that the caller chooses: key, base
// nonce and exporter secret.
//
// circl seals, and does X-Wing's decapsulation, in half the time of the standard library's. The rest of opening is done
// here, from the standard library: the key agreement of crypto/ecdh, and the labelled steps of RFC 9180 (sections 4.1,
// 5.1 and 5.3) over HKDF with its hash functions. circl and crypto/hpke do the same. But neither gives a context out
// that can be kept outside the heap, and neither takes another key agreement. HKDF and HMAC are ours, because
// crypto/hkdf leaves what it works on in the heap. Tests compare with all of these, with RFC 9180's vectors and with
// Wycheproof's.
//
// # Machine code
//
// Builds with the tag s2nbignum, as production enclaves are, do the key agreement of P-384 and, on amd64, of P-521 with
// the machine code of s2n-bignum ([MachineCode]; make asm makes it). Points are validated by crypto/ecdh in all builds.
// The package internal/s2nbignum says where the code comes from and what is ours.
//
// # Copies of secrets
//
// Private keys, contexts and AEAD keys are wiped where we can reach them, also in the private fields of library types
// ([Scrubs]). These copies remain:
//
//   - crypto/ecdh keeps the scalar twice in the Go heap while a [PrivateKey] lives. [PrivateKey.Destroy] wipes both.
//     Where machine code does the key agreement there is one copy, ours; it is wiped too. Parsing leaves limbs of the
//     scalar on the stack (the comparison with the group order).
//   - circl leaves what sealing passes through HMAC, padded and masked, in dead heap blocks, until the collector
//     reuses them. Derivation leaves none of it: it works on the stack, in buffers that are wiped. What the hash
//     functions leave on the stack is overwritten for P-256 and X-Wing, and for the others in builds that erase.
//   - circl keeps the seed and ML-KEM's decryption key in the Go heap while an X-Wing [PrivateKey] lives. Destroy wipes
//     both. Expanding leaves ML-KEM's rejection secret (z) in a dead heap block, and its noise on the stack.
//   - crypto/cipher and crypto/aes hold the expanded key of a field for the length of Open; it is wiped then. A
//     [Cipher] has a copy, in its caller's memory. The AEAD is not kept with every context; newAEAD says why.
//
// In builds with GOEXPERIMENT=runtimesecret, parsing, sealing and, for P-384 and P-521, derivation and export run
// under [redoubt/wire/kit/secret.Do], which erases what the libraries leave when the collector has run. It costs some
// 220 ns for each heap block, and more if there are many between two collections: 2 % of parsing, 1 to 2 % of a P-384
// derivation. With the blocks of crypto/hkdf, 75 more of 86, it was half as much again where machine code does the key
// agreement. Opening with a key that is there is not run under it: its two blocks are wiped anyhow, and it would double
// the time.
//
// # Cost
//
// Measured on one core of an AMD EPYC, in ECDHs of crypto/ecdh (go test -bench Ratio ./wire/kit/sealed, fastest tenth):
// a cold field of encoding 2 costs 1.08 for P-256, 1.03 for P-384, 1.01 for P-521; a record of ten fields of encoding 3
// 1.32, 1.08 and 1.03. With the machine code (-tags s2nbignum) P-384 costs 0.37 and 0.40, P-521 0.12 and 0.12. With a
// derived context a field costs 0.6 us in encoding 2 and 2.7 us in encoding 3, 0.6 us when its [Field] is kept.
package sealed

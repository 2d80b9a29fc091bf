// Package kms is a stand-in for AWS KMS: a development tool for the local stack and for tests.
//
// # What it guarantees
//
// It speaks the KMS JSON 1.1 protocol (POST /, X-Amz-Target TrentService.<Operation>) for the operations that Redoubt
// uses: Decrypt, Encrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateDataKeyPairWithoutPlaintext,
// GenerateRandom, DescribeKey, GenerateMac and VerifyMac. It is strict where a mistake would otherwise show only in
// production:
//
//   - every request must carry an AWS Signature Version 4 that verifies, over the headers and the body received, and
//     not more than five minutes off its clock;
//   - a ciphertext is bound to its key and to its encryption context, all of it authenticated;
//   - an attestation document is verified by package attest (chain, signature, time, measurements) before its content
//     is used, and the key policy's kms:RecipientAttestation conditions are evaluated on what it proves;
//   - an attested answer is a CMS EnvelopedData in BER with indefinite lengths, as KMS sends it, and has no
//     Plaintext;
//   - a domain's key (encryption context redoubt:domain) is not given over TLS without X25519MLKEM768, where KMS would
//     give it to whoever may have it;
//   - errors have the names, texts and statuses that an AWS SDK expects, and an x-amzn-RequestId.
//
// # Against whom
//
// It protects against nobody: it keeps its keys in a file. The keys file has mode 0600, listeners are loopback or
// unix sockets and nothing else, logs hold no values. That is hygiene of a development tool, not protection of data.
//
// # Faults on command
//
// Routes under /_admin, on the plain listener alone, switch throttling, delay, errors and false answers, change key
// policy, key state and credentials, and read counters. See [Server.AdminHandler].
//
// # Limits
//
// Request body 1 MiB; plaintext 1..4096 bytes; ciphertext 1..6144 bytes; MAC message 1..4096 bytes; random and data
// key 1..1024 bytes. One region and one account. No grants, no key rotation, no multi-Region keys, no presigned URLs.
//
// Sources: AWS KMS API Reference; AWS General Reference, Signature Version 4; AWS KMS Developer Guide, "Condition
// keys for attested platforms"; RFC 5652 section 6 (EnvelopedData), RFC 8017 section 7.1 (RSAES-OAEP).
package kms

// Package kms asks AWS KMS, for the enclave's key cache, to open wrapped keys. It asks as an attested enclave.
//
// # What it guarantees
//
//   - Each Decrypt names the key ARN that the enclave's own configuration pins for the region, never an alias. The
//     KeyId of the answer is compared with it. A request for another ARN is refused without asking KMS.
//   - Each Decrypt carries an attestation document with an RSA key made in this process. An answer with a Plaintext,
//     or without an envelope for that key, is refused.
//   - A key wrapped for a vault is asked for with the encryption context {"vault_id": id}. The form without a context
//     is never tried in its place, nor the reverse.
//   - TLS ends here. The roots are Amazon's, which are embedded, and those of the configuration. The machine's roots
//     and the environment are not used.
//   - Whatever KMS or the way to it does, the caller gets the key, or an [Error] with one of a closed set of causes,
//     within its deadline.
//
// # Against whom
//
// The parent carries the bytes. It can delay or cut them, but neither read nor forge an answer. It also supplies the
// credentials. With other credentials KMS answers or refuses by the same key policy. The parent cannot get an
// attestation document with this RSA key, since these leave the enclave only inside TLS. A caller that names a
// wrapped key of another vault, region or account gets key_denied.
//
// # Conduct
//
// A call for a request is made with the credentials of the request's session ([Identity], [keys.Request.By]) and no
// others. Two kinds of calls belong to no request: [Client.UnwrapHMACKey] tries each session's credentials in turn,
// and [Client.Reach] needs none. RSA keys and documents need none either, since KMS has no part in making them. A
// failure says whether other credentials might not meet it ([Error.OfCredentials]). Sessions share a circuit per
// region: an account that KMS throttles can open it for every session.
//
// Throttling, 5xx, time-outs, broken connections, credentials that ended, and clocks that differ are retried with
// full jitter, at most [MaxAttempts] times and never beyond the deadline. The number of attempts at a time is
// bounded, and so is the number of calls that wait in the queue. The circuit of a region opens when half of the last
// answers were throttling or failures. After a growing pause it lets single probes through, and it closes when they
// succeed. The RSA key pair is made in the background and renewed by age. A document is reused for
// [DefaultDocumentLife], which is well below the five minutes for which KMS accepts it. [Client.Stats] shows each of
// these.
//
// # Secrets and their copies
//
// Opened keys go into secret memory (package cms). Credentials are kept in memory of ours, once for all sessions that
// have the same, and the SDK gets references to it. They are wiped after the last call that uses them, once each
// session that had them has replaced them or has ended. This memory is in the Go heap: net/http may read a header
// after its call has returned, and must then find zeros, not an unmapped page.
//
// These copies remain: the SDK's signing key for the day, dropped with the credentials; "AWS4"+secret while the
// signing key is derived; the session token in the write buffer of each connection, at most [DefaultMaxConcurrent],
// until its next request. All of them are garbage afterwards. RSA private keys are garbage once renewed and unused.
// TLS session tickets live as long as the client.
//
// # Sources
//
// AWS KMS API reference (Decrypt, RecipientInfo, common errors), AWS KMS developer guide ("Cryptographic attestation
// support"), "Exponential backoff and jitter" of the AWS architecture blog. Roots: Amazon Root CA 1 to 4 and
// Starfield Services Root CA G2, as Amazon Trust Services publishes them and Mozilla's list (Debian's ca-certificates
// 20230311) carries them; a test holds their fingerprints. Only HTTP/1.1 is used: KMS offers no other, and HTTP/2
// would keep the session token in its header tables.
package kms

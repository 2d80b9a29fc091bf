// Package kms asks AWS KMS, as an attested enclave, to open wrapped keys.
//
// # What it guarantees
//
//   - Each Decrypt names the key ARN that the enclave's own configuration pins for the region, never an alias, and the
//     KeyId of the answer is compared with it. A request for another ARN is refused without asking.
//   - Each Decrypt carries an attestation document with an RSA key made in this process. An answer with a Plaintext,
//     or without an envelope for that key, is refused.
//   - A key wrapped for a vault is asked for with the encryption context {"vault_id": id}; the other form, without a
//     context, is never tried in its place, nor the reverse.
//   - TLS ends here. The roots are Amazon's, embedded, and those of the configuration; the machine's are not looked at,
//     nor is anything in the environment.
//   - Whatever KMS or the way to it does, the caller gets the key or an [Error] with one of a closed set of causes,
//     within its deadline.
//
// # Against whom
//
// The parent, which carries the bytes, can delay or cut them but neither read nor forge an answer. It supplies the
// credentials; with other credentials KMS answers or refuses by the same key policy. It has no way to an attestation
// document with this RSA key: those leave the enclave only inside TLS. A caller who names a wrapped key of another
// vault, region or account gets key_denied.
//
// # Conduct
//
// A call for a request is made with the credentials of the request's session ([Identity], [keys.Request.By]) and no
// others. Of the calls that no request is behind, [Client.UnwrapHMACKey] tries each session's credentials in turn and
// [Client.Reach] needs none; nor do RSA keys and documents, which KMS has no part in. A failure tells whether other
// credentials might not meet it ([Error.OfCredentials]). Circuits are shared: an account that KMS throttles can open
// its region's circuit for every session.
//
// Throttling, 5xx, time-outs, broken connections, credentials that ended, and clocks that differ are retried with full
// jitter, at most [MaxAttempts] times and never beyond the deadline. Attempts are bounded in number at a time, those
// that wait in a queue, too. A circuit per region opens when half of the last answers were throttling or failures; it
// lets single probes through, after a growing pause, and closes when they succeed. The RSA key pair is made in the
// background and renewed by age; a document is reused for [DefaultDocumentLife], which is well below the five minutes
// for which KMS takes it. [Client.Stats] shows each of these.
//
// # Secrets and their copies
//
// Opened keys go into secret memory (package cms). Credentials are kept in memory of ours, to which the SDK gets
// references, once for all sessions that have the same. They are wiped when the last of these has replaced them or has
// ended, after the last call that uses them. It is memory of the Go heap: net/http may read a header after its call has
// returned, and must find zeros then, not a page that is gone. Copies that remain: the SDK's signing key for the day,
// dropped with the credentials; "AWS4"+secret while that is derived; the session token in the write buffer of each
// connection, at most [DefaultMaxConcurrent], until its next request; all of them garbage afterwards. RSA private keys
// are garbage once renewed and unused. TLS session tickets live as long as the client.
//
// # Sources
//
// AWS KMS API reference (Decrypt, RecipientInfo, common errors), AWS KMS developer guide ("Cryptographic attestation
// support"), "Exponential backoff and jitter" of the AWS architecture blog. Roots: Amazon Root CA 1 to 4 and Starfield
// Services Root CA G2, as Amazon Trust Services publishes them and Mozilla's list (Debian's ca-certificates 20230311)
// carries them; a test holds their fingerprints. HTTP/1.1 alone: KMS offers no other, and HTTP/2 would keep the session
// token in its header tables.
package kms

// Package upstream is the API's client of the parent. It sends sealed fields to POST /v1/decrypt and returns values or
// typed errors.
//
// # Guarantees
//
//   - Connections are kept alive and pooled. If a connection turns out to be dead before an answer was read, the
//     request is sent once more on a fresh one. Decrypting changes nothing, so a second time does no harm.
//
//   - Every failure is an [*Error]: with the parent's code if it gives one, "deadline_exceeded" if no answer came in
//     time, [ErrUnavailable] if no parent answers, "internal" for an answer that is not understood.
//
//   - Redirects are not followed, and no proxy from the environment is used: the body holds wrapped keys.
//
//   - Values are kept as the raw JSON that the enclave made. [Result.Wipe] overwrites them. The body in which they came
//     is overwritten too. Copies remain in the reading buffers of fasthttp and crypto/tls until those are reused. With
//     a reply key they hold ciphertext only.
//
//   - A request whose context ends is given up at once. The exception is a connection that is being opened, which takes
//     three seconds at most.
//
//   - Fields that one request of the parent cannot carry (1 MiB) are asked for in several, one after the other, and the
//     answers form one [Result]. Expressions may read any field, so they go in one request with all fields, up to 2 MiB
//     of ciphertext and sources. Beyond that the error is a [*TooLargeError].
//
//   - A request for a vault under a domain that the enclave has not opened is repeated with the domain's record, once
//     for each domain and within the same timeout. What fails then has the code domain_unknown, and a cause.
//
//   - A damaged field of encoding 4, or a damaged encapsulated key, fails by itself, as in the other encodings.
//
// Limits: an answer has at most 16 MiB for each request, and the timeout holds for each request.
package upstream

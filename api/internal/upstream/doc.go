// Package upstream is the API's client of the parent: it sends sealed fields to POST /v1/decrypt and brings values
// or typed errors back.
//
// # Guarantees
//
//   - Connections are kept alive and pooled. A request whose connection turns out to be dead, before an answer was
//     read, is sent once more on a fresh one: decrypting changes nothing, so a second time does no harm.
//
//   - Every failure is an [*Error]: with the parent's code when it gives one, "deadline_exceeded" when no answer came
//     in time, [ErrUnavailable] when there is no one to answer, "internal" for an answer that is not understood.
//
//   - Redirects are not followed and no proxy from the environment is used: the body holds wrapped keys.
//
//   - Values are kept as the raw JSON that the enclave made. [Result.Wipe] overwrites them. The body that they came in
//     is overwritten too. Copies remain in the reading buffers of fasthttp and crypto/tls until those are reused; with
//     a reply key they hold ciphertext only.
//
//   - A request whose context ends is given up at once, but for a connection that is being opened: that takes three
//     seconds at most.
//
//   - What one request of the parent cannot carry (1 MiB) is asked for in several, one after the other, and their
//     answers are one [Result]. Expressions may read any field, so they go in one request with all of them, up to
//     2 MiB of ciphertext and sources: beyond that the error is a [*TooLargeError].
//
// Limits: an answer of at most 16 MiB for each request, the timeout is each request's.
package upstream

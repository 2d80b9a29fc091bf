// Package keys holds the private keys that KMS has unwrapped, and the HPKE contexts derived from them, for as long as
// they may be used and no longer.
//
// # Keys
//
// [Cache.Lookup] is the hot path: it hashes the request, takes one of 64 locks shared, allocates nothing. A miss goes
// to [Cache.Fetch], which never blocks: one unwrap serves all who want the same key, outlives whoever began it, and
// tells each [Waiter] the outcome. What a key is kept under contains the wrapped key, the vault id, the suite, the
// ARN of the KMS key and whether an encryption context was used: a request that differs in any of them is another
// request to KMS.
//
//   - The TTL is absolute and counts from the moment KMS was last asked and said yes. A key revoked at KMS goes on
//     working until then (5 minutes by default), or until a purge. Time is monotonic.
//   - A hit in the last third of a key's life (65 to 85 % of the TTL, drawn at random) starts a refresh that nobody
//     waits for. If KMS denies it, the key and its contexts go at once; any other failure leaves the key until its
//     TTL ends, and is tried again a little later.
//   - Failures are remembered against a key: denied for 5 s, malformed 30 s, KMS unavailable 0.5 s, throttled 0.25 s
//     or as long as KMS asks, at most 2 s. Failures of our own credentials, load and time are not remembered.
//   - An unwrap is made with the credentials of the session that began it, a refresh with those of the session whose
//     hit began it; a session that has none any more leaves the refresh to the next that uses the key. A key that is
//     cached serves every session.
//   - What KMS refuses to some credentials counts for those alone. Sessions with others that wait for the same unwrap
//     go on waiting, for one with theirs; the failure is remembered for those credentials; and a refresh evicts the key
//     only if KMS allowed it to the same credentials before. So a session with bad credentials can delay others on a
//     key that is not cached by the length of its own call, and do nothing else to them.
//   - Unwraps at a time, unwraps pending, callers waiting and negative entries are bounded; what is beyond is refused
//     as overloaded at once. One key may have a quarter of the waiters.
//   - Eviction is SIEVE, in a bounded number of steps: a scan over many keys flushes neither those in use nor the
//     processor. Shards are chosen by a hash with a secret seed.
//   - A purge reaches unwraps in flight: they answer who waits and are not kept.
//
// # Contexts
//
// A context opens the fields of one encapsulated key without public-key work ([Key.OpenCached]; [Key.Open] derives
// it). It is kept under the number of the key's entry, which is never given twice, and a 128-bit seeded hash of the
// encapsulated key; only after it has opened a field; and not longer than its key: purge, expiry and eviction of a
// key wipe its contexts. The AEAD key of a field of encoding 3 that is read again is kept likewise, under the field's
// name too: exporting it takes 1.7 us and 14 allocations, all the rest of a read 0.7 us and 2.
//
// Work that waits in a queue to open fields of an encapsulated key claims its context ([Key.Share]). Of those who claim
// one, one derives it ([Share.Begin]); the others are told when it is there. When that one gives up or panics, the next
// takes over. The outcome is held as long as somebody claims it, also when no field opens with it, or when there is no
// such context, so that a herd on a damaged record costs one derivation too; nothing of that is kept beyond. A purge
// does not take it from those who claim it: they hold the key as well. Claims and held contexts are bounded by count;
// beyond, everybody derives for himself.
//
// # Memory
//
// Contexts (AEAD key, base nonce, exporter secret; those held for claims too) and fields' keys lie in locked memory
// outside the Go heap, wiped when they are dropped; so do those that an open uses. An entry is destroyed, and its
// scalar wiped, when the last [Key] that refers to it is released. An expired key that nobody asks for goes within a
// second of its TTL, or, if its unwrap took long, later by that time. [KeyCost], [ContextCost] and [FieldCost] bound
// what an entry takes: 512 MiB holds 200,000 keys or 500,000 contexts with a field each, which New checks against
// [Config.MemoryBudget]; [Config.Pressure] tells before a cache is full.
//
// What remains after a purge and a garbage collection, as TestKeyBytesAreGoneFromMemory finds it by searching the
// process's memory: with GOEXPERIMENT=runtimesecret nothing for P-384 and P-521; for P-256 the libraries' copies of a
// context's key and exporter secret and of fields' keys. Without it those copies for every suite, in dead heap blocks
// until they are used again, and now and then limbs of a scalar on a dead stack. While a key is cached its scalar is
// twice in the Go heap, where crypto/ecdh keeps it. Plaintexts are the caller's, in the buffer it gave.
//
// # Against whom
//
// A hostile parent or caller who chooses wrapped keys, vault ids and blobs: it can cause KMS calls and evictions
// within the bounds, and learns from timing whether a key or context was cached, that is whether somebody read the
// record lately. It gets no key of another vault, no answer of another request, and no KMS call that its own request
// would not have been granted. The parent carries the requests to KMS; that it may drop or delay them is not our
// concern here beyond the timeout.
package keys

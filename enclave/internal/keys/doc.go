// Package keys caches, for the enclave's engine, the private keys that KMS has unwrapped and the HPKE contexts
// derived from them. It keeps each of them as long as it may be used, and no longer.
//
// # Keys
//
// [Cache.Lookup] is the hot path: it hashes the request, takes one of 64 locks shared, and allocates nothing. After a
// miss the caller uses [Cache.Fetch], which never blocks. One unwrap (a Decrypt at KMS) serves all callers that want
// the same key. It goes on when the caller that began it leaves, and its outcome is told to each [Waiter]. The
// cache's index covers the wrapped key, the vault id, the suite, the ARN of the KMS key and whether an encryption
// context was used. A request that differs in any of them is another request to KMS.
//
//   - The TTL is absolute. It counts from the moment KMS was last asked and said yes. A key revoked at KMS goes on
//     working until then (5 minutes by default), or until a purge. Time is monotonic.
//   - A hit in the last third of a key's life (from 65 to 85 % of the TTL, drawn at random) starts a refresh that no
//     caller waits for. If KMS denies the refresh, the key and its contexts go at once. After any other failure the
//     key stays until its TTL ends, and the refresh is tried again a little later.
//   - Failures are remembered against a key: denied for 5 s, malformed 30 s, KMS unavailable 0.5 s, throttled 0.25 s
//     or as long as KMS asks, at most 2 s. Failures of our own credentials, load and time are not remembered.
//   - An unwrap is made with the credentials of the session that began it. A refresh is made with those of the
//     session whose hit began it. A session that has no credentials any more leaves the refresh to the next session
//     that uses the key. A key that is cached serves every session.
//   - If KMS refuses some credentials, that counts for those credentials alone. Sessions with other credentials that
//     wait for the same unwrap go on waiting, for an unwrap with theirs. The failure is remembered for the refused
//     credentials. A failed refresh evicts the key only if KMS allowed it to the same credentials before. So a
//     session with bad credentials can delay others, on a key that is not cached, by the length of its own call, and
//     do nothing else to them.
//   - Bounds hold for the unwraps at a time, the unwraps pending, the callers waiting and the negative entries. A
//     request beyond a bound is refused as overloaded at once. One key may have a quarter of the waiters.
//   - Eviction is SIEVE, in a bounded number of steps. A scan over many keys does not flush the keys in use, and does
//     not hold the processor. A hash with a secret seed chooses the shard.
//   - A purge also covers unwraps in flight: their result goes to the callers that wait for it, and is not cached.
//
// # Contexts
//
// A context opens the fields of one encapsulated key without public-key work ([Key.OpenCached]; [Key.Open] derives
// it). It is kept under the number of the key's entry, which is never given twice, and a 128-bit seeded hash of the
// encapsulated key. It is kept only after it has opened a field, and not longer than its key: purge, expiry and
// eviction of a key wipe its contexts. The AEAD key of a field of encoding 3 that is read again is kept likewise,
// under the field's name too. Exporting that key takes 1.7 us and 14 allocations; all the rest of a read takes 0.7 us
// and 2.
//
// Setting AES-GCM up is most of that rest, and with the collector's share most of a hot request. A field that is read
// once more therefore has it kept set up, key schedule and all, for up to [MaxCiphers] fields of either encoding, by
// the same rules. A request takes one lease of scratch memory for all of its fields ([Key.Reader]).
//
// Work that waits in a queue to open fields of an encapsulated key claims the context of that key ([Key.Share]). One
// of the claimants derives the context ([Share.Begin]), and the others are told when it is there. If the deriving
// claimant gives up or panics, the next one takes over. The outcome is held as long as somebody claims it, also if no
// field opens with it, or if there is no such context. So many requests at once for a damaged record cost one
// derivation too. Nothing of such an outcome is kept beyond the last claim. A purge does not take it from the
// claimants, which hold the key as well. Claims and held contexts are bounded by count; beyond the bounds each
// request derives its own context.
//
// # Domains
//
// A vault under a domain (package domain) has a key that the enclave made, and its requests name the domain.
// [Cache.OpenDomain] opens a domain of the record that the asker hands over: one call to KMS for each wrap that is
// tried, one at a time for each domain, 4 in all. A record that KMS denies, or whose secret is not its descriptor's, is
// refused from memory for 30 seconds, by its own hash: a bad record says nothing of a good one of the same domain. What
// may pass is not remembered.
//
//   - A domain has the TTL, the refresh ahead and the monotonic time of keys. It goes when its TTL ends, when KMS
//     denies its refresh, with a purge, or when it is the one used longest ago of too many. Every vault key, context
//     and field's key under it goes with it, at once.
//   - [Cache.Vault] answers at once for a vault under a domain: domain_unknown asks for the record. Nothing is
//     unwrapped before a worker derives a context. Then the serialized key is kept in locked memory, and the expanded
//     one, some 8 KB for X-Wing, is wiped after use. So a context that is not cached costs an expansion, 29 us.
//   - What is kept of a vault is kept under the domain and a seeded hash of vault id and wrapped key. A purge of one
//     vault therefore drops the vault keys of all open domains; making them again costs no call to KMS.
//   - A budget bounds the vaults that are opened under a domain id, all generations together, in a second and in an
//     hour. A vault whose key is kept does not count. Buckets start empty and hold a second's and a minute's worth: a
//     reboot, or opening the domain again, gains nothing. Beyond it a request is refused as overloaded, and told when
//     to come again. It is what brakes a hostile parent, which KMS does no more.
//   - A generation below the lowest of its rule serves resealing alone (generation_closed).
//
// # What is made
//
// [Cache.CreateDomain] makes the secret of a domain's generation, of the security module's random bytes, the kernel's,
// and the data keys that KMS made: who knows but two of the three does not know the secret. It returns a record only
// after each wrap has opened again to the descriptor's secret. [Cache.WrapDomain] adds a wrap. Both need a rule that
// bounds how often, and KMS keys of the configuration. The secret and the data keys lie in locked memory, and are wiped
// before the answer. Nothing is kept: the domain is opened by its record like any other.
//
// [Cache.Domain] lends a domain to make keys in. [Domain.Takes] says which vaults may be resealed where: within one
// domain id and not to a lower generation, or from a KMS key to the domains that the configuration names for it. A
// reseal costs none of the vault budget, since nobody gets to see what it opens; and what it unwraps is not kept, since
// a vault whose key is kept could be read for nothing. A mint costs none either: a new key opens nothing. A domain that
// was purged, denied or evicted meanwhile makes nothing (domain_unknown).
//
// # Memory
//
// Contexts (AEAD key, base nonce, exporter secret), fields' keys and key schedules that are kept lie in locked memory
// outside the Go heap, and are wiped when they are dropped. The same holds for contexts held for claims, and for those
// in use by an open. An entry is destroyed, and its scalar wiped, when the last [Key] that refers to it is released.
// An expired key that nobody asks for goes within a second of its TTL or, if its unwrap took long, later by the time
// it took. [KeyCost], [ContextCost], [FieldCost] and [CipherCost] bound what an entry takes: 512 MiB holds 200,000
// keys, or 500,000 contexts and a field for nearly each. New checks this against [Config.MemoryBudget].
// [Config.Pressure] is called before a cache is full.
//
// TestKeyBytesAreGoneFromMemory searches the process's memory for what remains after a purge and a garbage
// collection. With GOEXPERIMENT=runtimesecret nothing remains for P-384 and P-521; for P-256 there remain the
// libraries' copies of a context's key and exporter secret and of fields' keys. Without it those copies remain for
// every suite, in dead heap blocks until they are used again, and now and then limbs of a scalar on a dead stack.
// While a key is cached its scalar is twice in the Go heap, where crypto/ecdh keeps it. Plaintexts are the caller's,
// in the buffer it gave.
//
// # Against whom
//
// A hostile parent or caller chooses wrapped keys, vault ids and blobs. It can cause KMS calls and evictions within
// the bounds. From timing it learns whether a key or context was cached, and so whether somebody read the record
// lately. It gets no key of another vault, no answer of another request, and no KMS call that its own request would
// not have been granted. The parent carries the requests to KMS. That it may drop or delay them does not concern this
// package beyond the timeout.
package keys

// Package audit writes who did what to which vault, with which outcome, and shows later that no entry was removed or
// altered.
//
// # Guarantees
//
//   - An entry is durable before data leaves: a request whose entry cannot be written is answered with an error and
//     no data. Writes carry their entry in the same transaction. Refused and failed attempts on an existing vault are
//     written too, but for those listed below. So is the removal of a vault whose time to live has passed, by the
//     embedded store: event DeleteVault, reason Expired, principal [Expirer].
//   - An entry never holds a value of a field, an expression's source or a key: names, the caller's reason, outcome.
//   - The entry of a decrypt that was answered tells a raw release from a reduced one: which fields left as they are
//     (Released) and, for each expression, which fields it reads, which its result may hold raw (Access) and a keyed
//     hash of its source. What raw means is said in package expr of the enclave. The report is the enclave's and comes
//     through the parent; without one, or with one that does not fit the request, the entry says unknown, and every
//     field counts as raw. So an entry errs to one side, as long as the parent's host is not hostile: that host can
//     send a false report, as it can open records past the API (SECURITY.md).
//   - Entries form chains under keys that the store's writers do not have. Each process is a writer with a key of its
//     own, which is a MAC made by KMS, asked for once. It writes chains of its own: one per vault and per request at a
//     time, so that concurrent decrypts of one vault do not wait for each other. An entry's MAC covers all its
//     attributes and the MAC of the entry before it; the first entry of a chain covers the newest entry of the vault
//     that the process saw (its link), which ties the chains together. [Verify] merges them, asks KMS once for each
//     writer, and reports each missing, altered, forged or doubled entry.
//   - Each writer counts its entries in checkpoints, which carry its MAC: one before its first entry, then one within
//     [Config].Every of each entry, and one at [Log.Close]. An entry says in which epoch of its writer it was begun, a
//     checkpoint ends an epoch, and tells how many entries there are of it and all before. As entries cannot be forged,
//     none of them is missing where the numbers agree: a chain that was cut shows, and a vault that was removed with
//     its log. One checkpoint of each writer is in the store; each is also told to [Config].Kept, which keeps it where
//     the store's writers cannot reach it. [Verify] says up to when no entry is missing.
//   - Without the writer's key and its first checkpoint there are no entries, so nothing is released and nothing
//     written. The key is in memory only, and overwritten by [Log.Close].
//
// # Format
//
// All numbers are big endian. A text is its length, 4 bytes, and its bytes. HMAC is HMAC-SHA-256.
//
//	writer  26 characters A-Z 2-7, at random
//	key     HMAC of "redoubt/v1/audit-writer\0" and the writer, under the MAC key in KMS (GenerateMac)
//	chain   "m1." writer "-" number in base 36, of the writer's chains
//	MAC     HMAC under key of "redoubt/v2/audit\0", text vault id, 8 bytes time, text event, text reason, 4 bytes number
//	        of fields, a text each, text chain, 8 bytes sequence number, text MAC of the entry before in the chain, text
//	        link, text body; the body is JSON and has the number of the writer's epoch, from 1 on
//	checkpoint  JSON: writer, began and time (Unix microseconds), through (the last epoch that it counts), entries (how
//	        many are in the store), unknown (the first 16 bytes of MACs of entries of which the store did not say whether
//	        they were stored, which entries does not count), unlisted (how many more of these there are). Its MAC is HMAC
//	        under key of "redoubt/v2/audit-checkpoint\0" and the JSON
//	token   "redoubt-audit-1." writer "." the JSON "." its MAC, both in base64url: the form outside the store
//
// testdata/mac.py computes it. Entries of earlier releases have other chain names, and in place of the MAC SHA-256
// (without a key) of the same with "redoubt/v1/audit\0" at the beginning.
//
// # Limits
//
// An attacker who can write the store can cut off entries that no checkpoint counts yet: those of the last minutes, and
// of a process that was killed. An epoch ends only when the one before is in a checkpoint, so that a newer entry shows
// where an older checkpoint was put back. Only a checkpoint outside the store ([Token], [Checkpoint]) shows where the
// whole store was put back to what it once was, as a restored backup does.
//
// Of entries of unknown outcome nobody knows whether they were stored, so their removal does not show. Their writer
// lists 256 in its checkpoints. Beyond that as many others could be missing as are not listed.
//
// An attacker who can write the store and use the MAC key in KMS can forge everything. The API's role can do both. Give
// `audit verify` a role of its own.
//
// Chains of earlier releases are verified as far as hashes without a key can be: an attacker who can write the store
// can make such a chain anew, unless an entry with a MAC is linked to it. Nobody can pass one of these off for one of
// ours, in a vault or with a time later than [Options].Keyed. The default for that time comes from the oldest entry
// with a MAC, so set it where an attacker may have rewritten all of them.
//
// Entries that the reference wrote have no chain; they are counted, not verified. An attacker who can write the store
// can make an entry at the end of a chain look like one of them. That shows at once in a vault that was made after the
// cut-over ([Options]), and if a trace of the chain or its key is left. In an older vault it is as good as cutting the
// entry off: a [Checkpoint] shows it, and otherwise the count of such entries that are newer than the cut-over, unless
// the entry was given an older time too.
//
// # Not audited
//
// No entry is written of what concerns no existing vault, or lets nothing out of one:
//
//   - GET of presence flags, of lists, of the schema and of the audit log itself, allowed or forbidden. They release no
//     value; the reference does not audit them either.
//   - A create that is forbidden, invalid, replayed or fails: there is no vault. Anything asked of a vault that does
//     not exist: made-up ids would fill the store.
//   - A PATCH or DELETE that asks for nothing.
//   - Requests refused before what they ask is known: no or wrong credentials, another origin, a body that is too
//     large, of another type or not of the route's shape, a ttl that is no number.
//   - Attempts whose vault could not be read, because the store or the caller was gone, writes of which the store
//     does not say how they ended, and those that it has no room for.
//   - Expiry in DynamoDB: the table's own TTL removes the item, some time within a few days after it has expired. Until
//     then it is absent to all that read. The log's last change of the time to live tells when.
//   - What is done beside the API: backup and restore of the store, keys that are made and revoked.
//   - Of equal refusals those that follow within a minute, and of one principal those beyond a rate (package vault).
//     The next entry says how many (Omitted).
//
// All of them are counted by route, status and code in redoubt_api_requests_total, and logged with their request id and
// principal.
package audit

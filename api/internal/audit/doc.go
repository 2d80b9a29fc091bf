// Package audit keeps the API's audit log: who did what to which vault, with which outcome. It shows later whether an
// entry was removed or altered.
//
// # Guarantees
//
//   - An entry is durable before data leaves: a request whose entry cannot be written is answered with an error and
//     no data. Writes carry their entry in the same transaction. Refused and failed attempts on an existing vault are
//     written too, except those listed below. When the embedded store removes a vault whose time to live has passed,
//     that is written too: event DeleteVault, reason Expired, principal [Expirer].
//   - An entry never holds a value of a field, an expression's source or a key. It holds names, the caller's reason,
//     and the outcome.
//   - The entry of a decrypt that was answered distinguishes a raw release from a reduced one. It says which fields
//     left as they are (Released) and, for each expression, which fields it reads, which of these its result may hold
//     raw (Access) and a keyed hash of its source. Package expr of the enclave says what raw means. The report is the
//     enclave's and comes through the parent. Without a report, or with one that does not fit the request, the entry
//     says unknown, and every field counts as raw. So an entry errs to one side, as long as the parent's host is not
//     hostile: that host can send a false report, just as it can open records past the API (SECURITY.md).
//   - Entries form chains under keys that the store's writers do not have. Each process is a writer with a key of its
//     own. That key is a MAC made by KMS, and asked for once. The process writes chains of its own: one per vault and
//     per request at a time, so that concurrent decrypts of one vault do not wait for each other. An entry's MAC
//     covers all its attributes and the MAC of the entry before it. The first entry of a chain covers the newest
//     entry of the vault that the process saw (its link), which ties the chains together. [Verify] merges the chains,
//     asks KMS once for each writer, and reports each missing, altered, forged or doubled entry.
//   - Each writer counts its entries in checkpoints, which carry its MAC. It makes one before its first entry, then
//     one within [Config].Every of each entry, and one at [Log.Close]. An entry says in which epoch of its writer it
//     was begun. A checkpoint ends an epoch, and says how many entries there are of it and all before. Entries cannot
//     be forged, so none of them is missing if the numbers agree: a chain that was cut shows, and so does a vault
//     that was removed with its log. One checkpoint of each writer is in the store. Each is also passed to
//     [Config].Kept, which keeps it where the store's writers cannot reach it. [Verify] says up to when no entry is
//     missing.
//   - Without the writer's key and its first checkpoint there are no entries, so nothing is released and nothing
//     written. The key is in memory only, and [Log.Close] overwrites it.
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
// testdata/mac.py computes it. Entries of earlier releases have other chain names. In place of the MAC they have
// SHA-256 (without a key) of the same message with "redoubt/v1/audit\0" at the beginning.
//
// # Limits
//
// An attacker who can write to the store can cut off entries that no checkpoint counts yet: those of the last
// minutes, and of a process that was killed. An epoch ends only when the one before is in a checkpoint, so a newer
// entry shows if an older checkpoint was put back. If the whole store was put back to an earlier state, as a restored
// backup does, only a checkpoint outside the store shows it ([Token], [Checkpoint]).
//
// It is not known whether entries of unknown outcome were stored, so their removal does not show. Their writer lists
// 256 in its checkpoints. Beyond that, as many other entries could be missing as are not listed.
//
// An attacker who can write to the store and use the MAC key in KMS can forge everything. The API's role can do both.
// Give `audit verify` a role of its own.
//
// Chains of earlier releases are verified as far as hashes without a key allow. An attacker who can write to the
// store can make such a chain anew, unless an entry with a MAC is linked to it. Nobody can present such a chain as
// one of ours, in a vault or with a time later than [Options].Keyed. The default for that time comes from the oldest
// entry with a MAC. So set it if an attacker may have rewritten all of them.
//
// Entries that the reference (the AWS sample that Redoubt succeeds) wrote have no chain. They are counted, not
// verified. An attacker who can write to the store can make an entry at the end of a chain look like one of them. In
// a vault that was made after the cut-over ([Options]) that shows at once, and also if a trace of the chain or its
// key is left. In an older vault it amounts to cutting the entry off: a [Checkpoint] shows it, and otherwise the
// count of such entries that are newer than the cut-over, unless the entry was given an older time too.
//
// # Not audited
//
// No entry is written for requests that concern no existing vault, or let nothing out of one:
//
//   - GET of presence flags, of lists, of the schema and of the audit log itself, allowed or forbidden. They release
//     no value; the reference does not audit them either.
//   - A create that is forbidden, invalid, replayed or fails: there is no vault. Any request for a vault that does
//     not exist: made-up ids would fill the store.
//   - A PATCH or DELETE that asks for nothing.
//   - Requests refused before it is known what they ask: no or wrong credentials, another origin, a body that is too
//     large, of another type or not of the route's shape, a ttl that is not a number.
//   - Attempts whose vault could not be read, because the store was unavailable or the caller had left; writes of
//     which the store does not say how they ended, and those for which it has no room.
//   - Expiry in DynamoDB: the table's own TTL removes the item, some time within a few days after it has expired.
//     Until then it is absent to every reader. The log's last change of the time to live shows when it expired.
//   - What is done beside the API: backup and restore of the store, keys that are made and revoked.
//   - Of equal refusals those that follow within a minute, and of one principal those beyond a rate (package vault).
//     The next entry says how many (Omitted).
//
// All of them are counted by route, status and code in redoubt_api_requests_total, and logged with their request id
// and principal.
package audit

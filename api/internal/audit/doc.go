// Package audit writes who did what to which vault, with which outcome, and shows later that no entry was removed or
// altered.
//
// # Guarantees
//
//   - An entry is durable before data leaves: a request whose entry cannot be written is answered with an error and
//     no data. Writes carry their entry in the same transaction. Refused and failed attempts on an existing vault are
//     written too, but for those listed below.
//   - An entry never holds a value of a field, an expression's source or a key: names, the caller's reason, outcome.
//   - The entry of a decrypt that was answered tells a raw release from a reduced one: which fields left as they are
//     (Released) and, for each expression, which fields it reads, which its result may hold raw (Access) and a keyed
//     hash of its source. What raw means is said in package expr of the enclave. The report is the enclave's and comes
//     through the parent; without one, or with one that does not fit the request, the entry says unknown, and every
//     field counts as raw. So an entry errs to one side, as long as the parent's host is not hostile: that host can
//     send a false report, as it can open records past the API (SECURITY.md).
//   - Entries form hash chains. Each process writes chains of its own: one per vault and per request at a time, so
//     that concurrent decrypts of one vault do not wait for each other. An entry's hash covers all its attributes and
//     the hash of the entry before it; the first entry of a chain covers the newest entry of the vault that the
//     process saw (its link), which ties the chains together. [Verify] merges them and reports each missing, altered
//     or doubled entry.
//
// # Limits
//
// Hashes are not keyed: who can write the store can rewrite a whole vault's log consistently, and can cut entries off
// the end of the newest chain. Both show against a [Checkpoint], the heads of all chains at some time, kept where
// the store's writers cannot reach it.
//
// Entries that the reference wrote have no chain; they are counted, not verified. Who can write the store can make an
// entry at the end of a chain look like one of them. That shows at once in a vault that was made after the cut-over
// ([Options]), and if a trace of the chain or its key is left. In an older vault it is as good as cutting the entry
// off: a [Checkpoint] shows it, and otherwise the count of such entries that are newer than the cut-over, unless the
// entry was given an older time too.
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
//   - What is done beside the API: backup and restore of the store, keys that are made and revoked.
//   - Of equal refusals those that follow within a minute, and of one principal those beyond a rate (package vault).
//     The next entry says how many (Omitted).
//
// All of them are counted by route, status and code in redoubt_api_requests_total, and logged with their request id and
// principal.
package audit

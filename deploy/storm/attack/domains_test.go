//go:build attack

package attack

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/parentapi"
)

var domainRoutes = []string{
	parentapi.PathDomains, parentapi.PathDomainWrap, parentapi.PathVaultKeys, parentapi.PathReseal,
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// domainRecord is something like a domain's record, and the domain's name.
func (g *gen) domainRecord() (record []byte, name string) {
	descriptor := slices.Concat([]byte("RDD1\x00\x01\x00\x04acme"), g.random(8+g.IntN(200)))
	sum := sha512.Sum384(descriptor)
	record = binary.BigEndian.AppendUint16(nil, uint16(len(descriptor)))
	record = append(append(record, descriptor...), g.random(g.IntN(2*wire.MaxDomainRecord))...)
	if g.hit() {
		record = g.mutate(record)
	}
	return record, hex.EncodeToString(sum[:wire.DomainNameSize])
}

// underDomain makes a request of a record one for a vault under a domain that nobody has, with encapsulated keys.
func (g *gen) underDomain(m map[string]any) {
	suite := pick(g, sealed.DomainSuites()...)
	id := suite.ID()
	record, name := g.domainRecord()
	encs, fields := map[string]any{}, map[string]any{}
	for i := range 1 + g.IntN(wire.MaxEncs+2) {
		enc := g.random(suite.EncSize())
		ref := sealed.RefOf(enc)
		encs[hex.EncodeToString(ref[:])] = b64(enc)
		blob := slices.Concat([]byte{5}, ref[:], g.random(sealed.TagSize+g.IntN(40)))
		if g.hit() {
			blob = g.mutate(blob)
		}
		fields["f"+string(rune('a'+i%26))] = b64(blob)
	}
	delete(m, "region")
	delete(m, "key_context")
	m["encoding"], m["domain"], m["suite_id"], m["encs"], m["fields"] = "4", name, b64(id[:]), encs, fields
	if g.oneIn(2) {
		m["domain_records"] = []any{b64(record)}
	}
	if g.oneIn(8) {
		m["domain_records"] = []any{b64(record), b64(g.random(40)), b64(record)}
	}
}

// domainsBody is the tree of a request of one of the routes of domains.
func (r *rig) domainsBody(g *gen, path string) map[string]any {
	record, name := g.domainRecord()
	dataKey := map[string]any{"key_arn": "arn:aws:kms:us-east-1:111122223333:key/" + pick(g, "a", "b"), "ciphertext": b64(g.random(180))}
	switch path {
	case parentapi.PathDomains:
		return map[string]any{
			"id": pick(g, "acme", "acme.00", "A", ""), "generation": g.IntN(4), "suites": []any{pick(g, "X-Wing", "P-384", "P-9")},
			"request_suites": []any{}, "data_keys": []any{dataKey}, "nonce": b64(g.random(32)),
		}
	case parentapi.PathDomainWrap:
		return map[string]any{"record": b64(record), "data_key": dataKey}
	case parentapi.PathVaultKeys:
		return map[string]any{
			"domain": name, "count": g.IntN(2 * parentapi.MaxMint), "suite": pick(g, "", "X-Wing", "P-256"),
			"domain_records": []any{b64(record)},
		}
	}
	old := g.decryptBody(r.record)
	for _, member := range []string{"expressions", "include", "report_access", "reply_key"} {
		if !g.oneIn(20) {
			delete(old, member)
		}
	}
	return map[string]any{"old": old, "to": name, "suite": pick(g, "", "X-Wing"), "epoch": g.IntN(3)}
}

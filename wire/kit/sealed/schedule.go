package sealed

import (
	"encoding/binary"

	"redoubt/wire/kit/secret"
)

// This file is what RFC 9180 makes of a Diffie-Hellman result: sections 4.1 (DHKEM) and 5.1 (key schedule), in
// mode_base, over the HKDF of hkdf.go. circl and crypto/hpke do the same, and tests compare. Neither takes
// another key agreement and gives the context out.

const (
	hpkeVersion = "HPKE-v1"
	modeBase    = 0
)

// kemID is the suite_id of the KEM's own steps, section 4.1.
func (p *params) kemID() [5]byte { return [5]byte{'K', 'E', 'M', p.id[4], p.id[5]} }

// shareDH is ExtractAndExpand of section 4.1: it writes the shared secret, nh bytes, to dst. dh is the result of the
// key agreement between enc and the recipient's point.
func (p *params) shareDH(dst, dh, enc, point []byte) bool {
	var buf [maxHashSize]byte
	defer secret.Wipe(buf[:])
	var both [2 * maxPointSize]byte
	kem, prk := p.kemID(), buf[:p.nh]
	return p.extract(prk, kem[:], nil, "eae_prk", dh) &&
		p.expand(kem[:], dst, prk, "shared_secret", append(append(both[:0], enc...), point...))
}

// keySchedule is the secret and the key schedule context of section 5.1, from which all else is expanded. It is for
// the stack.
type keySchedule struct {
	secret  [maxHashSize]byte
	context [1 + 2*maxHashSize]byte
}

// schedule fills s. Its caller wipes the secret, also after false.
func (p *params) schedule(s *keySchedule, shared, info []byte) bool {
	s.context[0] = modeBase
	n := 1 + copy(s.context[1:], p.pskIDHash)
	return p.extract(s.context[n:n+p.nh], p.id[:], nil, "info_hash", info) &&
		p.extract(s.secret[:p.nh], p.id[:], shared, "secret", nil)
}

// fromSchedule fills dst with what section 5.1 expands under a label.
func (p *params) fromSchedule(dst []byte, s *keySchedule, label string) bool {
	return p.expand(p.id[:], dst, s.secret[:p.nh], label, s.context[:1+2*p.nh])
}

// fillContext writes key, base nonce and exporter secret to mem, as [Context] has them.
func (p *params) fillContext(mem, shared, info []byte) bool {
	var s keySchedule
	defer secret.Wipe(s.secret[:])
	c := Context{mem: mem}
	return p.schedule(&s, shared, info) && p.fromSchedule(c.key(), &s, "key") &&
		p.fromSchedule(c.baseNonce(), &s, "base_nonce") &&
		p.fromSchedule(mem[keySize+nonceSize:][:p.nh], &s, "exp")
}

// extract is LabeledExtract of section 4, to dst, nh bytes.
func (p *params) extract(dst, suite, salt []byte, label string, ikm []byte) bool {
	var buf [maxBlock + maxLabeled]byte
	message := append(append(append(append(buf[:p.block], hpkeVersion...), suite...), label...), ikm...)
	defer secret.Wipe(message)
	return p.hmac(dst, salt, message)
}

// expand fills dst with LabeledExpand of section 4.
func (p *params) expand(suite, dst, prk []byte, label string, info []byte) bool {
	var buf [maxLabeled]byte
	labeled := binary.BigEndian.AppendUint16(buf[:0], uint16(len(dst)))
	labeled = append(append(append(append(labeled, hpkeVersion...), suite...), label...), info...)
	return p.hkdfExpand(dst, prk, labeled)
}

// The arrays of extract and expand have room for these sizes. A longer vault id, which is no secret, goes to the heap.
const (
	maxLabeled = 2 + len(hpkeVersion) + SuiteIDSize + maxLabel + maxInfo
	maxLabel   = len("shared_secret")
	maxInfo    = max(2*maxPointSize, 1+2*maxHashSize, maxExportContext)
)

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
func (p *params) kemID() []byte { return append([]byte("KEM"), p.id[4:6]...) }

// shareDH is ExtractAndExpand of section 4.1: it writes the shared secret, nh bytes, to dst. dh is the result of the
// key agreement between enc and the recipient's point.
func (p *params) shareDH(dst, dh, enc, point []byte) bool {
	kem := p.kemID()
	prk, ok := p.extract(kem, nil, "eae_prk", dh)
	defer secret.Wipe(prk)
	return ok && p.expand(kem, dst, prk, "shared_secret", append(append([]byte(nil), enc...), point...))
}

// schedule calls f with the secret and the key schedule context of section 5.1, from which all else is expanded. f
// MUST NOT keep the secret.
func (p *params) schedule(shared, info []byte, f func(last, context []byte) bool) bool {
	infoHash, ok := p.extract(p.id[:], nil, "info_hash", info)
	if !ok {
		return false
	}
	context := append(append([]byte{modeBase}, p.pskIDHash...), infoHash...)
	last, ok := p.extract(p.id[:], shared, "secret", nil)
	defer secret.Wipe(last)
	return ok && f(last, context)
}

// fillContext writes key, base nonce and exporter secret to mem, as [Context] has them.
func (p *params) fillContext(mem, shared, info []byte) bool {
	return p.schedule(shared, info, func(last, context []byte) bool {
		c := Context{mem: mem}
		return p.expand(p.id[:], c.key(), last, "key", context) &&
			p.expand(p.id[:], c.baseNonce(), last, "base_nonce", context) &&
			p.expand(p.id[:], mem[keySize+nonceSize:][:p.nh], last, "exp", context)
	})
}

// fillRecord writes the secret of a [Record] to mem.
func (p *params) fillRecord(mem, shared, info []byte) bool {
	return p.schedule(shared, info, func(last, context []byte) bool {
		var buf [maxHashSize]byte
		defer secret.Wipe(buf[:])
		exporter := buf[:p.nh]
		return p.expand(p.id[:], exporter, last, "exp", context) &&
			export(p, mem, exporter, []byte(recordLabel))
	})
}

// extract is LabeledExtract of section 4.
func (p *params) extract(suite, salt []byte, label string, ikm []byte) ([]byte, bool) {
	var buf [maxBlock + maxLabeled]byte
	message := append(append(append(append(buf[:p.block], hpkeVersion...), suite...), label...), ikm...)
	prk := make([]byte, p.nh)
	ok := p.hmac(prk, salt, message)
	secret.Wipe(message)
	return prk, ok
}

// expand fills dst with LabeledExpand of section 4.
func (p *params) expand(suite, dst, prk []byte, label string, info []byte) bool {
	var buf [maxLabeled]byte
	labeled := binary.BigEndian.AppendUint16(buf[:0], uint16(len(dst)))
	labeled = append(append(append(append(labeled, hpkeVersion...), suite...), label...), info...)
	return p.hkdfExpand(dst, prk, labeled)
}

// What extract and expand have room for without asking the heap. A longer vault id is no secret.
const (
	maxLabeled = 2 + len(hpkeVersion) + SuiteIDSize + maxLabel + maxInfo
	maxLabel   = len("shared_secret")
	maxInfo    = max(2*maxPointSize, 1+2*maxHashSize, maxExportContext)
)

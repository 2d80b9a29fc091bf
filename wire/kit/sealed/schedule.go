package sealed

import (
	"crypto/hkdf"
	"encoding/binary"

	"redoubt/wire/kit/secret"
)

// This file is what RFC 9180 makes of a Diffie-Hellman result: sections 4.1 (DHKEM) and 5.1 (key schedule), in
// mode_base, over the standard library's HKDF. circl and crypto/hpke do the same, and tests compare. Neither takes
// another key agreement and gives the context out.

const (
	hpkeVersion = "HPKE-v1"
	modeBase    = 0
)

// schedule writes key, base nonce and exporter secret to mem, as [Context] has them. dh is the result of the key
// agreement between enc and the recipient's point.
func (p *params) schedule(mem, dh, info, enc, point []byte) bool {
	kem := append([]byte("KEM"), p.id[4:6]...)
	prk, ok := p.extract(kem, nil, "eae_prk", dh)
	defer secret.Wipe(prk)
	if !ok {
		return false
	}
	var sharedBuf [maxHashSize]byte
	defer secret.Wipe(sharedBuf[:])
	shared := sharedBuf[:p.nh]
	if !p.expand(kem, shared, prk, "shared_secret", append(append([]byte(nil), enc...), point...)) {
		return false
	}
	infoHash, ok := p.extract(p.id[:], nil, "info_hash", info)
	if !ok {
		return false
	}
	context := append(append([]byte{modeBase}, p.pskIDHash...), infoHash...)
	last, ok := p.extract(p.id[:], shared, "secret", nil)
	defer secret.Wipe(last)
	c := Context{mem: mem}
	return ok && p.expand(p.id[:], c.key(), last, "key", context) &&
		p.expand(p.id[:], c.baseNonce(), last, "base_nonce", context) &&
		p.expand(p.id[:], mem[keySize+nonceSize:][:p.nh], last, "exp", context)
}

// extract is LabeledExtract of section 4.
func (p *params) extract(suite, salt []byte, label string, ikm []byte) ([]byte, bool) {
	labeled := make([]byte, 0, len(hpkeVersion)+len(suite)+len(label)+len(ikm))
	labeled = append(append(append(append(labeled, hpkeVersion...), suite...), label...), ikm...)
	defer secret.Wipe(labeled)
	prk, err := hkdf.Extract(p.hash, labeled, salt)
	return prk, err == nil
}

// expand fills dst with LabeledExpand of section 4.
func (p *params) expand(suite, dst, prk []byte, label string, info []byte) bool {
	var buf [2 + len(hpkeVersion) + SuiteIDSize + maxLabel + maxInfo]byte
	labeled := binary.BigEndian.AppendUint16(buf[:0], uint16(len(dst)))
	labeled = append(append(append(append(labeled, hpkeVersion...), suite...), label...), info...)
	out, err := hkdf.Expand(p.hash, prk, string(labeled), len(dst))
	if err != nil {
		return false
	}
	copy(dst, out)
	secret.Wipe(out)
	return true
}

// What expand has room for without asking the heap.
const (
	maxLabel = len("shared_secret")
	maxInfo  = max(2*MaxEncSize, 1+2*maxHashSize, maxExportContext)
)

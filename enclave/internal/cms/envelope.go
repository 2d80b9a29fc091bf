package cms

import "bytes"

// These are the contents of the object identifiers that occur.
var (
	oidData          = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01} // 1.2.840.113549.1.7.1
	oidEnvelopedData = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03} // 1.2.840.113549.1.7.3
	oidOAEP          = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07} // 1.2.840.113549.1.1.7
	oidMGF1          = []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08} // 1.2.840.113549.1.1.8
	oidSHA256        = []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01} // 2.16.840.1.101.3.4.2.1
	oidAES256CBC     = []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a} // 2.16.840.1.101.3.4.1.42
	versionTwo       = []byte{2}
)

// envelope holds the needed parts of an EnvelopedData. Its slices may share memory with the message.
type envelope struct {
	wrappedKey, iv, ciphertext []byte
}

// parse reads a ContentInfo with an EnvelopedData for one recipient, and nothing after it.
func parse(message []byte) (*envelope, bool) {
	if len(message) > MaxMessage {
		return nil, false
	}
	outer := &reader{data: message}
	info := outer.inside(tagSequence)
	if !info.is(tagOID, oidEnvelopedData) || !outer.empty() {
		return nil, false
	}
	explicit := info.inside(tagContext0 | constructed)
	body := explicit.inside(tagSequence)
	if !body.is(tagInteger, versionTwo) || !info.empty() || !explicit.empty() {
		return nil, false
	}
	var e envelope
	recipients := body.inside(tagSet)
	ok := e.recipient(recipients.inside(tagSequence)) && recipients.empty()
	ok = ok && e.content(body.inside(tagSequence)) && body.empty()
	return &e, ok
}

// recipient reads a KeyTransRecipientInfo (RFC 5652 section 6.2.1). KMS puts the SHA-256 of the SubjectPublicKeyInfo
// into the key identifier, but promises this nowhere. The identifier is not compared, since a message for another key
// does not unwrap.
func (e *envelope) recipient(r *reader) bool {
	if !r.is(tagInteger, versionTwo) {
		return false
	}
	if id, ok := r.octets(tagContext0); !ok || len(id) == 0 || len(id) > maxKeyID {
		return false
	}
	if !oaepSHA256(r.inside(tagSequence)) {
		return false
	}
	var ok bool
	e.wrappedKey, ok = r.octets(tagOctetString)
	return ok && r.empty()
}

// oaepSHA256 accepts RSAES-OAEP with SHA-256 for both hash and MGF1, and the empty label (RFC 4055 section 4.1).
func oaepSHA256(r *reader) bool {
	if !r.is(tagOID, oidOAEP) {
		return false
	}
	params := r.inside(tagSequence)
	hash := params.inside(tagContext0 | constructed)
	if !sha256Identifier(hash.inside(tagSequence)) || !hash.empty() {
		return false
	}
	mask := params.inside(tagContext1 | constructed)
	generator := mask.inside(tagSequence)
	if !generator.is(tagOID, oidMGF1) || !sha256Identifier(generator.inside(tagSequence)) {
		return false
	}
	return generator.empty() && mask.empty() && params.empty() && r.empty()
}

// sha256Identifier accepts the two forms that RFC 4055 section 2.1 requires to be accepted: parameters absent, or
// NULL.
func sha256Identifier(r *reader) bool {
	if !r.is(tagOID, oidSHA256) {
		return false
	}
	if r.peek() == tagNull {
		if null, ok := r.element(tagNull); !ok || len(null) != 0 {
			return false
		}
	}
	return r.empty()
}

// content reads an EncryptedContentInfo.
func (e *envelope) content(r *reader) bool {
	if !r.is(tagOID, oidData) {
		return false
	}
	algorithm := r.inside(tagSequence)
	if !algorithm.is(tagOID, oidAES256CBC) {
		return false
	}
	var ok bool
	if e.iv, ok = algorithm.octets(tagOctetString); !ok || !algorithm.empty() || len(e.iv) != blockSize {
		return false
	}
	if e.ciphertext, ok = r.octets(tagContext0); !ok || !r.empty() {
		return false
	}
	return len(e.ciphertext) > 0 && len(e.ciphertext)%blockSize == 0
}

// is takes an element, which must have this tag and this content.
func (r *reader) is(tag byte, content []byte) bool {
	got, ok := r.element(tag)
	if !ok || !bytes.Equal(got, content) {
		r.fail()
		return false
	}
	return true
}

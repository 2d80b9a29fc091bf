package cms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"redoubt/wire/kit/test/proctest"
)

func testKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	file, err := os.ReadFile("testdata/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(file)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// An enc builds encodings by hand, so that each piece can be bent. definite chooses DER lengths over indefinite ones.
type enc struct{ definite bool }

func (enc) primitive(tag byte, content []byte) []byte {
	return append(header(tag, len(content)), content...)
}

func header(tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return []byte{tag, byte(n)}
	case n < 0x100:
		return []byte{tag, 0x81, byte(n)}
	}
	return []byte{tag, 0x82, byte(n >> 8), byte(n)}
}

func (e enc) outer(tag byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	if e.definite {
		return e.primitive(tag, content)
	}
	return slices.Concat([]byte{tag, 0x80}, content, []byte{0, 0})
}

// parts of an envelope in the shape that KMS gives it; mutations change them before assembly.
type parts struct {
	enc
	version, recipientVersion []byte
	contentType, dataType     []byte
	keyIDTag                  byte
	keyID                     []byte
	oaep                      []byte
	wrapped                   []byte
	contentAlgorithm          []byte
	iv                        []byte
	ciphertext                []byte // already encoded
	afterRecipient, afterBody []byte
}

func (e enc) sha256Identifier() []byte {
	return e.primitive(tagSequence, slices.Concat(e.primitive(tagOID, oidSHA256), []byte{tagNull, 0}))
}

func (e enc) oaepIdentifier(hash, mask []byte) []byte {
	mgf := e.primitive(tagSequence, slices.Concat(e.primitive(tagOID, oidMGF1), mask))
	params := slices.Concat(e.primitive(0xa0, hash), e.primitive(0xa1, mgf))
	return e.primitive(tagSequence, slices.Concat(e.primitive(tagOID, oidOAEP), e.primitive(tagSequence, params)))
}

func seal(t testing.TB, key *rsa.PublicKey, plain []byte, padding []byte) *parts {
	t.Helper()
	cek, iv := make([]byte, 32), make([]byte, 16)
	rand.Read(cek)
	rand.Read(iv)
	return sealWith(t, key, cek, iv, append(bytes.Clone(plain), padding...))
}

func sealWith(t testing.TB, key *rsa.PublicKey, cek, iv, padded []byte) *parts {
	t.Helper()
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, key, cek, nil)
	if err != nil {
		t.Fatal(err)
	}
	var e enc
	p := &parts{
		version: versionTwo, recipientVersion: versionTwo, contentType: oidEnvelopedData, dataType: oidData,
		keyIDTag: tagContext0, keyID: make([]byte, 32), wrapped: wrapped, contentAlgorithm: oidAES256CBC, iv: iv,
		oaep: e.oaepIdentifier(e.sha256Identifier(), e.sha256Identifier()),
	}
	if len(padded)%16 == 0 && len(cek) == 32 {
		block, err := aes.NewCipher(cek)
		if err != nil {
			t.Fatal(err)
		}
		cipher.NewCBCEncrypter(block, iv).CryptBlocks(padded, padded)
	}
	p.ciphertext = e.outer(0xa0, e.primitive(tagOctetString, padded))
	return p
}

func pkcs7(n int) []byte {
	pad := 16 - n%16
	return bytes.Repeat([]byte{byte(pad)}, pad)
}

func (p *parts) bytes() []byte {
	recipient := p.primitive(tagSequence, slices.Concat(
		p.primitive(tagInteger, p.recipientVersion), p.primitive(p.keyIDTag, p.keyID), p.oaep,
		p.primitive(tagOctetString, p.wrapped)))
	algorithm := p.primitive(tagSequence, slices.Concat(
		p.primitive(tagOID, p.contentAlgorithm), p.primitive(tagOctetString, p.iv)))
	return p.outer(tagSequence, p.primitive(tagOID, p.contentType), p.outer(0xa0, p.outer(tagSequence,
		p.primitive(tagInteger, p.version), p.primitive(tagSet, append(recipient, p.afterRecipient...)),
		p.outer(tagSequence, p.primitive(tagOID, p.dataType), algorithm, p.ciphertext), p.afterBody)))
}

func mustOpen(t *testing.T, key *rsa.PrivateKey, message, want []byte) {
	t.Helper()
	before := bytes.Clone(message)
	got, err := Open(key, message)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Destroy()
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("opened %d bytes, which differ from the %d sealed", got.Len(), len(want))
	}
	if !bytes.Equal(before, message) {
		t.Error("the message was changed")
	}
}

func mustRefuse(t *testing.T, key *rsa.PrivateKey, message []byte) {
	t.Helper()
	got, err := Open(key, message)
	if err != ErrOpen { //nolint:errorlint // the very same error each time is what is promised
		t.Errorf("got %v, want exactly %v", err, ErrOpen)
	}
	if got != nil {
		t.Error("a result beside the error")
	}
}

func TestOpensWhatOpenSSLSealed(t *testing.T) {
	key := testKey(t)
	plain, err := os.ReadFile("testdata/plain.bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"openssl-indefinite.der", "openssl-definite.der"} {
		message, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		mustOpen(t, key, message, plain)
	}
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		return // the stored ones are its work, too
	}
	for _, form := range [][]string{{"-stream", "-indef"}, {}} {
		args := []string{
			"cms", "-encrypt", "-keyid", "-binary", "-aes-256-cbc", "-outform", "DER", "-in", "testdata/plain.bin",
			"-recip", "testdata/cert.pem", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256",
			"-keyopt", "rsa_mgf1_md:sha256",
		}
		message, err := proctest.Command(t, openssl, append(args, form...)...).Output()
		if err != nil {
			t.Fatalf("openssl %v: %v", form, err)
		}
		mustOpen(t, key, message, plain)
	}
}

func TestRefusesWhatOpenSSLSealedOtherwise(t *testing.T) {
	files, err := filepath.Glob("testdata/refused-*.der")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".der"), func(t *testing.T) {
			message, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			mustRefuse(t, testKey(t), message)
		})
	}
}

func TestEveryFormOpensToWhatWasSealed(t *testing.T) {
	key := testKey(t)
	rapid.Check(t, func(r *rapid.T) {
		plain := rapid.SliceOfN(rapid.Byte(), 1, 4096).Draw(r, "plain")
		p := seal(t, &key.PublicKey, plain, pkcs7(len(plain)))
		p.definite = rapid.Bool().Draw(r, "definite")
		raw, _, _ := split(p.ciphertext[2:], 0) // of the one OCTET STRING in it
		if rapid.Bool().Draw(r, "primitive") {
			p.ciphertext = p.primitive(tagContext0, raw)
		} else {
			p.ciphertext = p.outer(0xa0, segments(r, p.enc, raw)...)
		}
		got, err := Open(key, p.bytes())
		if err != nil {
			r.Fatalf("%d bytes: %v", len(plain), err)
		}
		defer got.Destroy()
		if !bytes.Equal(got.Bytes(), plain) {
			r.Fatal("opened to something else")
		}
	})
}

// segments cuts content into OCTET STRINGs, empty ones among them.
func segments(r *rapid.T, e enc, content []byte) [][]byte {
	var out [][]byte
	for len(content) > 0 && len(out) < 20 {
		n := rapid.IntRange(0, len(content)).Draw(r, "segment")
		out = append(out, e.primitive(tagOctetString, content[:n]))
		content = content[n:]
	}
	return append(out, e.primitive(tagOctetString, content))
}

func TestRefusesEveryOtherFormWithTheSameError(t *testing.T) {
	key := testKey(t)
	plain := []byte("sixteen bytes ok and some more")
	var e enc
	sha1 := e.primitive(tagSequence, e.primitive(tagOID, []byte{0x2b, 0x0e, 0x03, 0x02, 0x1a}))
	mutations := map[string]func(*parts){
		"version 0":            func(p *parts) { p.version = []byte{0} },
		"version 3":            func(p *parts) { p.version = []byte{3} },
		"version in two bytes": func(p *parts) { p.version = []byte{0, 2} },
		"recipient version 0":  func(p *parts) { p.recipientVersion = []byte{0} },
		"signedData":           func(p *parts) { p.contentType = append(bytes.Clone(oidData[:8]), 2) },
		"content not data":     func(p *parts) { p.dataType = oidEnvelopedData },
		"key id empty":         func(p *parts) { p.keyID = nil },
		"key id too long":      func(p *parts) { p.keyID = make([]byte, maxKeyID+1) },
		"key id of other tag":  func(p *parts) { p.keyIDTag = tagContext1 },
		"hash SHA-1":           func(p *parts) { p.oaep = p.oaepIdentifier(sha1, p.sha256Identifier()) },
		"mask SHA-1":           func(p *parts) { p.oaep = p.oaepIdentifier(p.sha256Identifier(), sha1) },
		"default parameters": func(p *parts) {
			p.oaep = p.primitive(tagSequence, slices.Concat(p.primitive(tagOID, oidOAEP), p.primitive(tagSequence, nil)))
		},
		"no parameters": func(p *parts) { p.oaep = p.primitive(tagSequence, p.primitive(tagOID, oidOAEP)) },
		"RSA without OAEP": func(p *parts) {
			p.oaep = p.primitive(tagSequence, p.primitive(tagOID, append(bytes.Clone(oidOAEP[:8]), 1)))
		},
		"wrapped key short":      func(p *parts) { p.wrapped = p.wrapped[1:] },
		"wrapped key long":       func(p *parts) { p.wrapped = append(p.wrapped, 0) },
		"wrapped key flipped":    func(p *parts) { p.wrapped[100] ^= 1 },
		"wrapped key zero":       func(p *parts) { clear(p.wrapped) },
		"AES-128":                func(p *parts) { p.contentAlgorithm = append(bytes.Clone(oidAES256CBC[:8]), 0x02) },
		"iv short":               func(p *parts) { p.iv = p.iv[1:] },
		"no content":             func(p *parts) { p.ciphertext = nil },
		"content empty":          func(p *parts) { p.ciphertext = p.outer(0xa0) },
		"content not in blocks":  func(p *parts) { p.ciphertext = p.outer(0xa0, p.primitive(tagOctetString, make([]byte, 17))) },
		"content of integers":    func(p *parts) { p.ciphertext = p.outer(0xa0, p.primitive(tagInteger, make([]byte, 16))) },
		"segment in a segment":   func(p *parts) { p.ciphertext = p.outer(0xa0, p.outer(0x24, p.ciphertext[2:len(p.ciphertext)-2])) },
		"two recipients":         func(p *parts) { p.afterRecipient = p.primitive(tagSequence, nil) },
		"unprotected attributes": func(p *parts) { p.afterBody = p.primitive(0xa1, nil) },
	}
	for name, mutate := range mutations {
		t.Run(name, func(t *testing.T) {
			p := seal(t, &key.PublicKey, plain, pkcs7(len(plain)))
			mustOpen(t, key, p.bytes(), plain)
			mutate(p)
			mustRefuse(t, key, p.bytes())
		})
	}
	for _, definite := range []bool{false, true} {
		p := seal(t, &key.PublicKey, plain, pkcs7(len(plain)))
		p.definite = definite
		message := p.bytes()
		for n := range message {
			mustRefuse(t, key, message[:n])
		}
		mustRefuse(t, key, append(bytes.Clone(message), 0))
		mustRefuse(t, key, append(bytes.Clone(message), 0, 0))
	}
	mustRefuse(t, key, make([]byte, MaxMessage+1))
	mustRefuse(t, nil, nil)
}

func TestRefusesWrongKeyAndWrongLengthOfContentKey(t *testing.T) {
	key := testKey(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, key, seal(t, &other.PublicKey, []byte("x"), pkcs7(1)).bytes())
	for _, n := range []int{0, 16, 24, 31, 33} {
		padded := append([]byte("x"), pkcs7(1)...)
		mustRefuse(t, key, sealWith(t, &key.PublicKey, make([]byte, n), make([]byte, 16), padded).bytes())
	}
}

func TestPaddingIsCheckedWhole(t *testing.T) {
	key := testKey(t)
	for last := range 256 {
		for _, wrongAt := range []int{0, 2, 5, 16} { // which byte from the end differs; 0 none
			block := bytes.Repeat([]byte{byte(last)}, 32)
			if wrongAt > 1 && wrongAt <= last {
				block[32-wrongAt] ^= 0x40
			}
			good := last >= 1 && last <= 16 && (wrongAt <= 1 || wrongAt > last)
			length, valid := unpad(block)
			if (valid == 1) != good || (good && length != 32-last) || (!good && length != 0) {
				t.Errorf("last byte %d, wrong at %d: length %d, valid %d", last, wrongAt, length, valid)
			}
		}
	}
	full := bytes.Repeat([]byte{16}, 16) // nothing but padding
	mustRefuse(t, key, seal(t, &key.PublicKey, nil, full).bytes())
	mustRefuse(t, key, seal(t, &key.PublicKey, make([]byte, 15), []byte{17}).bytes())
	mustRefuse(t, key, seal(t, &key.PublicKey, make([]byte, 15), []byte{0}).bytes())
	mustRefuse(t, key, seal(t, &key.PublicKey, make([]byte, 14), []byte{1, 2}).bytes())
}

func TestReaderRefusesWhatIsNotStrict(t *testing.T) {
	deep := bytes.Repeat([]byte{0x30, 0x80}, maxDepth+4)
	deep = append(deep, make([]byte, len(deep))...)
	for name, data := range map[string][]byte{
		"empty": {}, "tag alone": {0x30}, "long tag": {0x3f, 0x81, 0x01, 0x00}, "length beyond the end": {0x30, 0x05, 0x00},
		"long length of a short one": {0x30, 0x81, 0x01, 0x00}, "length with a leading zero": append([]byte{0x30, 0x82, 0, 0x80}, make([]byte, 128)...),
		"length of three bytes": append([]byte{0x30, 0x83, 0, 1, 0}, make([]byte, 256)...), "reserved length": {0x30, 0xff},
		"indefinite primitive": {0x04, 0x80, 0x00, 0x00}, "indefinite without end": {0x30, 0x80, 0x02, 0x01, 0x01},
		"half an end": {0x30, 0x80, 0x00}, "end of non-zero length": {0x30, 0x80, 0x00, 0x01, 0x00}, "too deep": deep,
	} {
		if _, _, ok := split(data, 0); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A wrapped key that does not unwrap must cost what one does that unwraps: the content is decrypted all the same, under
// a key that nobody knows. A fixed key would let an attacker choose the padding that comes out.
func TestAKeyThatDoesNotUnwrapCostsTheSameWorkUnderARandomOne(t *testing.T) {
	key := testKey(t)
	plain := bytes.Repeat([]byte{7}, 185)
	e, ok := parse(seal(t, &key.PublicKey, plain, pkcs7(len(plain))).bytes())
	if !ok {
		t.Fatal("the envelope does not parse")
	}
	e.wrappedKey = make([]byte, key.Size())
	if _, err := rand.Read(e.wrappedKey[1:]); err != nil {
		t.Fatal(err)
	}
	var seen [3][]byte
	for i := range seen {
		seen[i] = make([]byte, len(e.ciphertext))
		valid, err := e.decrypt(key, seen[i])
		if valid != 0 || err != nil {
			t.Fatalf("valid %d, %v", valid, err)
		}
		if bytes.Equal(seen[i], make([]byte, len(seen[i]))) {
			t.Fatal("nothing was decrypted")
		}
		if i > 0 && bytes.Equal(seen[i], seen[i-1]) {
			t.Error("the same key took the place twice")
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	key := testKey(b)
	plain := make([]byte, 185) // about the PKCS#8 of a P-384 key
	message := seal(b, &key.PublicKey, plain, pkcs7(len(plain))).bytes()
	b.ReportAllocs()
	for b.Loop() {
		got, err := Open(key, message)
		if err != nil {
			b.Fatal(err)
		}
		got.Destroy()
	}
}

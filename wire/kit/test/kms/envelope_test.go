package kms

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// ber is one element of a BER encoding, read by a reader of this test's own.
type ber struct {
	tag        byte
	indefinite bool
	content    []byte // primitive or definite
	children   []ber  // of an indefinite one
}

var errBER = errors.New("malformed BER")

func readBER(b []byte) (e ber, rest []byte, err error) {
	if len(b) < 2 {
		return e, nil, errBER
	}
	e.tag = b[0]
	length, b := int(b[1]), b[2:]
	if length == 0x80 {
		e.indefinite = true
		for {
			if len(b) < 2 {
				return e, nil, errBER
			}
			if b[0] == 0 && b[1] == 0 {
				return e, b[2:], nil
			}
			var child ber
			if child, b, err = readBER(b); err != nil {
				return e, nil, err
			}
			e.children = append(e.children, child)
		}
	}
	if length > 0x80 {
		n := length - 0x80
		length = 0
		for _, x := range b[:n] {
			length = length<<8 | int(x)
		}
		b = b[n:]
	}
	if length > len(b) {
		return e, nil, errBER
	}
	e.content = b[:length]
	return e, b[length:], nil
}

// openEnvelope demands that the envelope opens.
func openEnvelope(t *testing.T, key *rsa.PrivateKey, cms []byte) []byte {
	t.Helper()
	plaintext, err := unwrapEnvelope(key, cms)
	if err != nil {
		t.Fatal(err)
	}
	return plaintext
}

// unwrapEnvelope reads an EnvelopedData by hand: structure, recipient, content.
func unwrapEnvelope(key *rsa.PrivateKey, cms []byte) ([]byte, error) {
	top, rest, err := readBER(cms)
	if err != nil || len(rest) != 0 || !top.indefinite || top.tag != 0x30 || len(top.children) != 2 {
		return nil, errors.New("not one indefinite ContentInfo")
	}
	enveloped := top.children[1].children[0]
	recipients, content := enveloped.children[1], enveloped.children[2]
	if !enveloped.indefinite || !content.indefinite || recipients.tag != 0x31 {
		return nil, errors.New("lengths are not as KMS sends them")
	}
	ktri, _, err := readBER(recipients.content)
	if err != nil {
		return nil, err
	}
	var parts []ber
	for b := ktri.content; len(b) > 0; {
		var e ber
		if e, b, err = readBER(b); err != nil {
			return nil, err
		}
		parts = append(parts, e)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	if want := sha256.Sum256(spki); parts[1].tag != 0x80 || !bytes.Equal(parts[1].content, want[:]) {
		return nil, errors.New("the recipient is not named by subjectKeyIdentifier")
	}
	contentKey, err := rsa.DecryptOAEP(sha256.New(), nil, key, parts[3].content, nil)
	if err != nil || len(contentKey) != 32 {
		return nil, fmt.Errorf("content key: %w", err)
	}
	alg := content.children[1].content
	var sealed []byte
	for _, chunk := range content.children[2].children {
		if chunk.tag != 0x04 {
			return nil, errors.New("content is not octet strings")
		}
		sealed = append(sealed, chunk.content...)
	}
	block, err := aes.NewCipher(contentKey)
	if err != nil || len(sealed)%16 != 0 || len(sealed) == 0 {
		return nil, fmt.Errorf("content of %d bytes: %w", len(sealed), err)
	}
	cipher.NewCBCDecrypter(block, alg[len(alg)-16:]).CryptBlocks(sealed, sealed)
	return sealed[:len(sealed)-int(sealed[len(sealed)-1])], nil
}

func TestEnvelopesOfAllSizesOpen(t *testing.T) {
	for _, bits := range []int{2048, 3072, 4096} {
		key := testRSA()
		if bits != 2048 {
			var err error
			if key, err = rsa.GenerateKey(rand.Reader, bits); err != nil {
				t.Fatal(err)
			}
		}
		for _, size := range []int{0, 1, 15, 16, 17, 127, 128, 185, 255, 256, 1007, 1008, 1023, 1024, 4096} {
			plaintext := make([]byte, size)
			if _, err := rand.Read(plaintext); err != nil {
				t.Fatal(err)
			}
			cms, err := EncryptToRecipient(&key.PublicKey, plaintext)
			if err != nil {
				t.Fatal(err)
			}
			if got := openEnvelope(t, key, cms); !bytes.Equal(got, plaintext) {
				t.Fatalf("%d bytes: another plaintext", size)
			}
		}
	}
}

// openssl is an implementation that shares nothing with ours.
func TestOpenSSLOpensTheEnvelope(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("no openssl here: TestEnvelopesOfAllSizesOpen stands alone")
		return
	}
	dir, key := t.TempDir(), testRSA()
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPath, cmsPath := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cms.der")
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := os.WriteFile(keyPath, keyPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 185, 1024, 4096} {
		plaintext := bytes.Repeat([]byte{0xa5}, size)
		cms, err := EncryptToRecipient(&key.PublicKey, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(cmsPath, cms, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := proctest.Command(t, openssl, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", cmsPath, "-inkey", keyPath).Output()
		if err != nil || !bytes.Equal(out, plaintext) {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

// Package selftest proves to the enclave and to its health check that fields are opened correctly, and that what was
// tampered with is refused.
//
// It opens a built-in vector in the encodings 2 and 3 (P-384, made once with package sealed, which is cross-checked
// with other implementations). It refuses both with a bit flipped, and under another name and vault. It also opens
// what it has just sealed itself. All that takes some 3 ms. The key is public, in this file, and protects nothing.
package selftest

import (
	"bytes"
	"encoding/hex"
	"errors"

	"redoubt/wire/kit/sealed"
)

// ErrFailed is the one error: opening and sealing do not work as they must. The enclave must not serve.
var ErrFailed = errors.New("self-test failed")

const (
	vault = "v_selftest"
	name  = "selftest"
	plain = "redoubt self-test"

	keyHex = "3081b6020100301006072a8648ce3d020106052b8104002204819e30819b0201010430a854a8d30705194a438a60eaba1823" +
		"234a029fd23b914d649091b154f3b0088c76400273d5368f862ffe7353bc8aa195a16403620004498d93eb2dadd9168b4812" +
		"aaa8352888cabbecc4e4a90ae1878cc2975eec0cd78b1841e0a8f1852b2b1f56514ee359afa7712d094f9ef76eb47a5421d0" +
		"d5e01d4b2674f4b4bd84c89996717094108ca024f4a38dfb27bbfb565e4e74af76882b"
	fieldHex = "047cda5121c3a855c9f9c5fdc30f6d4f940d692a9b445fb4e279cb56473523c625930f7772e93c96e97c82a1598f96494c1d" +
		"9514bf2b6f6a11414d4d7f445822e556781db533bc3d6993d3045a1372fb0356c958171b9d540780d0e647b9cf6e9540c9e7" +
		"94274c8a6bb52337b23a40797500fac0b8e633fbbe299297d45f0615a8b4"
	recordHex = "03047a05cc4ba3e07529672ff2657e3a848bb949b3e9db4c65c9f7e9c0d40b158606a19f2a96865b1e92ddf11ea5a4e6732e" +
		"7f5588b16babeb3f2fa2ea4a64e505d6d4ea7dcb180bf5b7ed8782baa54f9c38138cd889ed90831e67643c29d64795185348" +
		"6486b16ecaf8eec0e85d94b58a3115dbfdb06f4e8dd78576271e4030a8f685"
)

// Run runs the self-test.
func Run() error { return run(keyHex, fieldHex, recordHex) }

func run(keyHex, fieldHex, recordHex string) (err error) {
	defer func() {
		if recover() != nil {
			err = ErrFailed
		}
	}()
	der, err := hex.DecodeString(keyHex)
	if err != nil {
		return ErrFailed
	}
	key, err := sealed.ParsePrivateKey(sealed.P384, der)
	if err != nil {
		return ErrFailed
	}
	defer key.Destroy()
	for encoding, text := range map[sealed.Encoding]string{
		sealed.EncodingField: fieldHex, sealed.EncodingRecord: recordHex,
	} {
		blob, err := hex.DecodeString(text)
		if err != nil || !vector(key, encoding, blob) {
			return ErrFailed
		}
	}
	return roundTrip(key)
}

// vector reports whether the blob opens as it must, and under no other name or vault.
func vector(key *sealed.PrivateKey, encoding sealed.Encoding, raw []byte) bool {
	blob, err := sealed.ParseBlob(key.Suite(), encoding, raw)
	if err != nil {
		return false
	}
	mem := make([]byte, sealed.ContextSize)
	defer clear(mem)
	ctx, err := key.Derive(mem, []byte(vault), blob.Enc)
	if err != nil {
		return false
	}
	if got, err := ctx.Open(nil, []byte(name), blob); err != nil || string(got) != plain {
		return false
	}
	if _, err := ctx.Open(nil, []byte("other"), blob); err == nil {
		return false
	}
	flipped := blob
	flipped.CT = bytes.Clone(blob.CT)
	flipped.CT[0] ^= 1
	if _, err := ctx.Open(nil, []byte(name), flipped); err == nil {
		return false
	}
	other, err := key.Derive(mem, []byte("v_other"), blob.Enc)
	if err != nil {
		return false
	}
	_, err = other.Open(nil, []byte(name), blob)
	return err != nil
}

// roundTrip seals a value and opens it again.
func roundTrip(key *sealed.PrivateKey) error {
	blobs, err := sealed.SealRecord(key.Suite(), key.Public(), vault, map[string][]byte{name: []byte(plain)})
	if err != nil || !vector(key, sealed.EncodingRecord, blobs[name]) {
		return ErrFailed
	}
	return nil
}

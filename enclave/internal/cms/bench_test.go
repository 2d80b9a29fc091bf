package cms

import "testing"

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

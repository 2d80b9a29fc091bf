package attest_test

import (
	"testing"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/test/attesttest"
)

func BenchmarkVerify(b *testing.B) {
	authority := newAuthority(b, attesttest.Chain{Intermediates: 3}) // as many as AWS has
	document, opts := issue(b, authority, goodSpec()), goodOptions(authority)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := attest.Verify(document, opts); err != nil {
			b.Fatal(err)
		}
	}
}

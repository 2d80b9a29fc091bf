package front

import (
	"testing"
)

func TestBase64IsStrict(t *testing.T) {
	for in, want := range map[string]string{"": "", "Qm9i": "Bob", "QQ==": "A", "QUI=": "AB", "+/+/": "\xfb\xff\xbf"} {
		got, err := appendBase64([]byte("x"), []byte(in))
		if err != nil || string(got) != "x"+want {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for _, in := range []string{
		"Q", "QQ", "QQ=", "QQ===", "QR==", "QUJ=", "Qm9i\n", "Qm\n9", "Qm9i\r\n\r\n", " Qm9i", "Qm9i ", "-_-_", "Q=Q=", "====", "QQ==QQ==",
	} {
		if got, err := appendBase64([]byte("x"), []byte(in)); err == nil || string(got) != "x" {
			t.Errorf("%q accepted: %q", in, got)
		}
	}
}

package cms

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzOpen looks for panics, and for envelopes that open to something that nobody sealed under this key.
func FuzzOpen(f *testing.F) {
	key := testKey(f)
	files, err := filepath.Glob("testdata/*.der")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		message, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message)
	}
	f.Add([]byte{0x30, 0x80, 0x06, 0x00, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := Open(key, message)
		switch {
		case err == nil && got.Len() == 0:
			t.Error("no error, and no result")
		case err != nil && err != ErrOpen: //nolint:errorlint // the very same error each time is what is promised
			t.Errorf("another error: %v", err)
		case err != nil && got != nil:
			t.Error("a result beside the error")
		}
		got.Destroy()
	})
}

// FuzzReader walks arbitrary BER: whatever split accepts lies within its input.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0x30, 0x80, 0x02, 0x01, 0x02, 0x00, 0x00})
	f.Add([]byte{0x24, 0x06, 0x04, 0x01, 0x41, 0x04, 0x01, 0x42})
	f.Fuzz(func(t *testing.T, data []byte) {
		content, size, ok := split(data, 0)
		if ok && (size < 2 || size > len(data) || len(content) > size-2) {
			t.Errorf("content of %d in element of %d in data of %d", len(content), size, len(data))
		}
		r := &reader{data: data}
		if joined, ok := r.octets(tagOctetString); ok && len(joined)+len(r.data) > len(data) {
			t.Error("a string longer than its encoding")
		}
	})
}

package corpus

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"redoubt/wire/kit/sealed"
)

// fakeWrap stands for KMS: the wrapped key names its vault.
func fakeWrap(_ context.Context, vaultID string, _ []byte) ([]byte, error) {
	return []byte("wrapped " + vaultID), nil
}

func TestRecordsOpenToTheirPlaintexts(t *testing.T) {
	for _, suite := range sealed.Suites() {
		for _, encoding := range []sealed.Encoding{2, 3} {
			c, err := Make(context.Background(), Options{Vaults: 2, Fields: 3, Writes: 2, Suite: suite, Encoding: encoding}, fakeWrap, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range c.Vaults {
				key, err := sealed.ParsePrivateKey(suite, v.Private)
				if err != nil {
					t.Fatal(err)
				}
				for w, fields := range v.Writes {
					for name, raw := range fields {
						blob, err := sealed.ParseBlob(suite, encoding, raw)
						if err != nil {
							t.Fatal(err)
						}
						ctx, err := key.Derive(make([]byte, sealed.ContextSize), []byte(v.ID), blob.Enc)
						if err != nil {
							t.Fatal(err)
						}
						plain, err := ctx.Open(nil, []byte(name), blob)
						if err != nil || string(plain) != Plain(v.ID, w, name) {
							t.Errorf("%v %d %s: %q %v", suite, encoding, name, plain, err)
						}
					}
				}
			}
		}
	}
}

func TestFileHoldsTheCorpusButNoKeysAndNoPlaintexts(t *testing.T) {
	c, err := Make(context.Background(), Options{Vaults: 3, Fields: 2, Writes: 2, Suite: sealed.P256}, fakeWrap, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "corpus")
	if err := c.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := c.Write(&file); err != nil {
		t.Fatal(err)
	}
	for i := range c.Vaults {
		if strings.Contains(file.String(), Plain(c.Vaults[i].ID, 0, FieldName(0))) || bytes.Contains(file.Bytes(), c.Vaults[i].Private) {
			t.Error("the file holds a plaintext or a key")
		}
		c.Vaults[i].Private = nil
	}
	if !reflect.DeepEqual(got, c) {
		t.Error("read another corpus than was written")
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, o := range []Options{
		{},
		{Vaults: 1, Fields: 1},
		{Vaults: 1, Writes: 1},
		{Vaults: 1, Writes: 1, Fields: 101},
		{Vaults: 1, Writes: 1, Fields: 1, Encoding: 1},
		{Vaults: 1, Writes: 1, Fields: 1, Suite: 9},
	} {
		if _, err := Make(context.Background(), o, fakeWrap, nil); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	c, err := Make(context.Background(), Options{Vaults: 1, Fields: 1, Writes: 1, Suite: sealed.P256}, fakeWrap, nil)
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"format":"redoubt-corpus-1","suite":2,"encoding":3,"api":true,"vaults":1}` + "\n" + `{"id":"v_1","label":"x"}`))
	f.Add([]byte(`{"format":"redoubt-corpus-1","suite":2,"encoding":3,"vaults":2}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := Read(bytes.NewReader(in))
		if err != nil {
			if !errors.Is(err, ErrFile) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		var again bytes.Buffer
		if err := c.Write(&again); err != nil {
			t.Fatal(err)
		}
		if got, err := Read(&again); err != nil || len(got.Vaults) != len(c.Vaults) {
			t.Errorf("written and read again: %v", err)
		}
	})
}

package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// OpenKeyFile and Create say what is wrong with a file of keys or a new key. Neither makes a key then, nor loses one.
func TestAKeyOrAFileOfKeysThatIsWrongIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	k, err := OpenKeyFile(path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	all := Grant{Operations: []string{"*"}, Fields: []string{"*"}}
	for what, create := range map[string]func() error{
		"no name":         func() error { _, err := k.Create("", all, nil, time.Time{}); return err },
		"a space":         func() error { _, err := k.Create("a b", all, nil, time.Time{}); return err },
		"a star":          func() error { _, err := k.Create("*", all, nil, time.Time{}); return err },
		"too long a name": func() error { _, err := k.Create(strings.Repeat("a", 65), all, nil, time.Time{}); return err },
		"no operation":    func() error { _, err := k.Create("a", Grant{}, nil, time.Time{}); return err },
		"no rate":         func() error { _, err := k.Create("a", all, &Rate{}, time.Time{}); return err },
	} {
		if err := create(); err == nil {
			t.Errorf("%s: is made", what)
		}
	}
	if list, err := k.List(); err != nil || len(list) != 0 {
		t.Errorf("%d keys, %v", len(list), err)
	}
	for what, content := range map[string]string{
		"no list": `{"name":"a"}`,
		"a rate":  `[{"name":"a","id":"00","hash":"00","grant":{"operations":["*"],"fields":["*"]},"decrypt_rate":{"per_second":-1}}]`,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKeyFile(path, time.Now); err == nil {
			t.Errorf("%s: is read", what)
		}
		if _, err := k.Create("a", all, nil, time.Time{}); err == nil {
			t.Errorf("%s: a key is added", what)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s: the file was changed", what)
		}
	}
	folder := t.TempDir()
	if _, err := OpenKeyFile(folder, time.Now); err == nil {
		t.Error("a folder is read as a file of keys")
	}
	nowhere, err := OpenKeyFile(filepath.Join(folder, "none", "keys"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nowhere.Create("a", all, nil, time.Time{}); err == nil {
		t.Error("a key is made in a folder that does not exist")
	}
}

// A hash that is no hash admits nobody, whatever its length.
func TestAKeyWhoseHashIsMalformedAdmitsNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	token := keyPrefix + "0011223344556677_" + strings.Repeat("A", 43)
	for _, hash := range []string{"", "00", "zz", strings.Repeat("00", 31), strings.Repeat("00", 33), strings.Repeat("00", 32) + "0"} {
		text := `[{"name":"a","id":"0011223344556677","hash":"` + hash + `","grant":{"operations":["*"],"fields":["*"]}}]`
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := OpenKeyFile(path, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Authenticate(token); err == nil {
			t.Errorf("hash %q admits", hash)
		}
	}
}

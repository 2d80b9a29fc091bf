package cli

import (
	"testing"
	"time"
)

func TestKeysUnderADomainNeedADomainAndAPlaceForIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags keyFlags
		kept  bool
		taken bool
	}{
		{"the default", keyFlags{VaultKeys: "kms"}, true, true},
		{"the default without tables", keyFlags{VaultKeys: "kms"}, false, true},
		{"a domain", keyFlags{VaultKeys: "domain", Domain: "acme"}, true, true},
		{"a domain without tables", keyFlags{VaultKeys: "domain", Domain: "acme"}, false, false},
		{"no domain", keyFlags{VaultKeys: "domain"}, true, false},
		{"no domain, and no keys of KMS's", keyFlags{VaultKeys: "domain-only"}, true, false},
		{"no id", keyFlags{VaultKeys: "domain", Domain: "ACME"}, true, false},
		{"a suite", keyFlags{VaultKeys: "domain", Domain: "acme", DomainSuite: "X-Wing"}, true, true},
		{"no suite", keyFlags{VaultKeys: "domain", Domain: "acme", DomainSuite: "RSA"}, true, false},
		{"keys that go at once", keyFlags{VaultKeys: "kms", KeepKeys: time.Second}, true, false},
		{"a window before the erasure", keyFlags{VaultKeys: "kms", EraseWindow: -time.Second}, true, false},
	} {
		if c.flags.KeepKeys == 0 {
			c.flags.KeepKeys = time.Hour
		}
		if err := c.flags.check(c.kept); (err == nil) != c.taken {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	late := keyFlags{VaultKeys: "kms", MovedBefore: time.Now().Add(time.Hour).Format(time.RFC3339)}
	if _, err := late.keyConfig(nil, true, nil, nil); err == nil {
		t.Error("a time that is still to come was taken")
	}
}

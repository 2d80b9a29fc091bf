package vault_test

import (
	"bytes"
	"errors"
	"testing"

	"redoubt/api/internal/schema"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
)

func TestAReasonSaysSomethingThatCanBeSeen(t *testing.T) {
	e := setup(t)
	id := e.create(map[string]string{"city": "Bern"})
	for given, kept := range map[string]string{
		"support call": "support call", " \t\n\u00a0ticket 7\r\n": "ticket 7", "été «\u00a0dossier\u00a0»": "été «\u00a0dossier\u00a0»",
		"می\u200cخواهم": "می\u200cخواهم", "שלום 日本語 👩\u200d⚕️": "שלום 日本語 👩\u200d⚕️",
	} {
		got := e.opened(&vault.DecryptRequest{ID: id, Fields: []string{"city"}, Reason: given})
		if got.Reason != kept {
			t.Errorf("%q is kept as %q", given, got.Reason)
		}
	}
	before := len(e.log(id))
	for _, bad := range []string{
		"", " \t\n\u2003", "\x00", "a\x00b", "a\nb", "a\rb", "a\x1b[2Jb", "a\x7fb", "a\u0085b", "a\u009bb", "a\u202eb", "a\u2067b",
		"a\u200eb", "a\u061cb", "a\u2028b", "a\u200bb", "a\ufeffb", "a\xffb", "\u2060",
	} {
		_, err := e.Decrypt(t.Context(), e.caller, &vault.DecryptRequest{ID: id, Fields: []string{"city"}, Reason: bad})
		var p schema.FieldErrors
		if !errors.As(err, &p) || len(p) != 1 || p[0].Field != "reason" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	list, _, err := e.store.Audit(t.Context(), id, store.Page{Limit: store.MaxPage})
	e.must(err)
	for _, entry := range list[before:] {
		if entry.Reason != "" || bytes.ContainsAny(entry.Body, "\x00\n") {
			t.Errorf("a refused reason is in the log: %q", entry.Reason)
		}
	}
	if len(list) == before {
		t.Error("refusals are not in the log")
	}
}

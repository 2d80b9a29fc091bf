package vault_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/kmsclient"
	"redoubt/api/internal/store"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/sealed"
)

// beside is another process over the same store.
func beside(e *env, keys vault.Keys) *vault.Service {
	e.Helper()
	s, err := vault.New(vault.Config{
		Store: e.store, Keys: keys, Opener: e.world, Schema: e.Schema(), Suite: sealed.P256, Encoding: sealed.EncodingRecord,
	})
	e.must(err)
	return s
}

func TestCursorsShowNoIDAndServeTheirListInEveryProcess(t *testing.T) {
	e := setup(t)
	ids := []string{e.create(nil), e.create(nil), e.create(nil)}
	first, next, err := e.List(t.Context(), e.caller, store.Page{Limit: 1})
	e.must(err)
	raw, err := base64.RawURLEncoding.DecodeString(next)
	e.must(err)
	for _, id := range ids {
		if strings.Contains(next, id) || strings.Contains(string(raw), id) {
			t.Errorf("the cursor shows %s", id)
		}
	}
	other := beside(e, e.world)
	rest, end, err := other.List(t.Context(), e.caller, store.Page{Cursor: next})
	e.must(err)
	if len(first)+len(rest) != len(ids) || end != "" {
		t.Errorf("%v, %v, %q", first, rest, end)
	}
}

func TestCursorsThatWeDidNotMakeForTheListAreRefused(t *testing.T) {
	e := setup(t)
	id, second := e.create(nil), e.create(nil)
	for _, gone := range []string{id, second} {
		e.must(e.Delete(t.Context(), e.caller, &vault.DeleteRequest{ID: gone, All: true}))
	}
	e.create(nil)
	e.create(nil)
	_, list, err := e.List(t.Context(), e.caller, store.Page{Limit: 1})
	e.must(err)
	_, log, err := e.Audit(t.Context(), e.caller, id, store.Page{Limit: 1})
	e.must(err)
	if list == "" || log == "" {
		t.Fatal("no second page")
	}
	readList := func(s *vault.Service, cursor string) error {
		_, _, err := s.List(t.Context(), e.caller, store.Page{Cursor: cursor})
		return err
	}
	readLog := func(id, cursor string) error {
		_, _, err := e.Audit(t.Context(), e.caller, id, store.Page{Cursor: cursor})
		return err
	}
	e.must(readList(e.Service, list))
	e.must(readLog(id, log))
	plain := base64.RawURLEncoding.EncodeToString([]byte(id))
	for name, err := range map[string]error{
		"a log's":           readList(e.Service, log),
		"the list's":        readLog(id, list),
		"another log's":     readLog(second, log),
		"of another key":    readList(beside(e, apitest.NewWorld()), list),
		"an id":             readList(e.Service, plain),
		"cut":               readList(e.Service, list[:len(list)-4]),
		"one character":     readList(e.Service, "A"),
		"no base64":         readList(e.Service, "!!"),
		"long":              readList(e.Service, strings.Repeat("A", 4096)),
		"altered":           readList(e.Service, flip(list)),
		"of another suffix": readList(e.Service, list+"AAAA"),
	} {
		if !errors.Is(err, store.ErrCursor) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is no cursor of ours costs no call of KMS.
	fresh := beside(e, e.world)
	e.world.FailKMS(kmsclient.ErrUnavailable)
	if err := readList(fresh, strings.Repeat("A", 4096)); !errors.Is(err, store.ErrCursor) {
		t.Error(err)
	}
	if err := readList(fresh, list); !errors.Is(err, kmsclient.ErrUnavailable) {
		t.Error(err)
	}
}

func flip(cursor string) string {
	c := byte('A')
	if cursor[20] == c {
		c = 'B'
	}
	return cursor[:20] + string(c) + cursor[21:]
}

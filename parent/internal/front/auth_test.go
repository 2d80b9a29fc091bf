package front_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/parent/internal/front"
)

func hash(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

func TestKeysLetInWhoHoldsOneAndNoOneElse(t *testing.T) {
	auth := front.NewAuth(false)
	if err := auth.Load(strings.NewReader("# callers\n\napi " + hash("key-1") + "\nops   " + strings.ToUpper(hash("key-2")) + "\n")); err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Auth, o.AccessLog = auth, true
	s := startStack(t, o, fakeenclave.Echo)
	ask := func(path, authorization string) int {
		req, _ := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(encode(doc(nil))))
		if !strings.Contains(path, "decrypt") {
			req, _ = http.NewRequest(http.MethodGet, s.url+path, nil)
		}
		req.Header.Set("Content-Type", "application/json")
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusUnauthorized && resp.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: no challenge", path)
		}
		return resp.StatusCode
	}
	for authorization, want := range map[string]int{
		"Bearer key-1": 200, "bearer key-2": 200, "": 401, "Bearer": 401, "Bearer ": 401, "Bearer key-3": 401, "Bearer key-1 ": 200,
		"Basic key-1": 401, "Bearer " + hash("key-1"): 401, "key-1": 401, "Bearer key-1x": 401,
	} {
		for _, path := range []string{"/decrypt", "/v1/decrypt", "/enclaves"} {
			if got := ask(path, authorization); got != want {
				t.Errorf("%s with %q: %d, want %d", path, authorization, got, want)
			}
		}
		for _, path := range []string{"/health", "/ready"} {
			if got := ask(path, authorization); got != 200 {
				t.Errorf("%s with %q: %d", path, authorization, got)
			}
		}
	}
	if log := s.log.String(); strings.Contains(log, "key-") || !strings.Contains(log, `"caller":"api"`) {
		t.Errorf("log: %s", log)
	}
	// A rotation: the old key ends with the next load; a broken file changes nothing.
	if err := auth.Load(strings.NewReader("api " + hash("key-9"))); err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"", "#", "api", "api 00", "api " + hash("x") + "00", "a b c", "ap\"i " + hash("x"), strings.Repeat("a "+hash("x")+"\n", 65)} {
		if err := auth.Load(strings.NewReader(broken)); !errors.Is(err, front.ErrKeys) {
			t.Errorf("%.40q: %v", broken, err)
		}
	}
	if got := ask("/decrypt", "Bearer key-1"); got != 401 {
		t.Errorf("old key: %d", got)
	}
	if got := ask("/decrypt", "Bearer key-9"); got != 200 {
		t.Errorf("new key: %d", got)
	}
}

//go:build dev

package enclaved

import (
	"errors"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/session"
)

// TestASessionsCredentialsServeThatSessionAlone has two sessions of one enclave, before the stand-in: one with its
// credentials, one with others. A bad push, before or after the good one, with or without a purge, costs the other
// session nothing, and readiness says of each session how it is with that session.
func TestASessionsCredentialsServeThatSessionAlone(t *testing.T) {
	r := newRig(t, "")
	fields := map[string][]byte{"a": []byte("value")}
	q := r.keyPair("v_1").request(t, sealed.EncodingRecord, fields)
	open := func(id, secret string) *session.Client {
		t.Helper()
		c, err := r.dialAs(id, secret)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ready := func(c *session.Client) bool {
		t.Helper()
		p, err := c.Ping(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p.Health.Has(wire.HealthCredentials)
	}
	purge := func() {
		t.Helper()
		if _, err := r.client.Purge(t.Context(), &wire.Purge{}); err != nil {
			t.Fatal(err)
		}
	}
	unavailable := func(when string, err error) {
		t.Helper()
		if !errors.Is(err, &wire.Error{Code: wire.KMSUnavailable}) {
			t.Errorf("bad credentials %s: %v", when, err)
		}
	}
	for name, bad := range map[string]*session.Client{
		"unknown key": open("stranger", "secret"), "wrong secret": open("local", "not the secret"),
	} {
		t.Run(name, func(t *testing.T) {
			purge()
			unavailable("ask first", ask(bad, q, fields))
			if ready(bad) || !ready(r.client) {
				t.Errorf("credentials count as valid: %v of the bad session, %v of the good", ready(bad), ready(r.client))
			}
			if err := ask(r.client, q, fields); err != nil {
				t.Fatalf("good credentials after bad ones: %v", err)
			}
			if err := ask(bad, q, fields); err != nil {
				t.Errorf("a cached key serves every session: %v", err)
			}
			purge()
			if err := ask(r.client, q, fields); err != nil {
				t.Errorf("good credentials after a purge: %v", err)
			}
			purge()
			// Both at once: whichever call is shared, its failure is not.
			failed := make(chan error, 1)
			go func() { failed <- ask(bad, q, fields) }()
			if err := ask(r.client, q, fields); err != nil {
				t.Errorf("good credentials beside bad ones: %v", err)
			}
			if err := <-failed; err != nil {
				unavailable("ask beside", err)
			}
		})
	}
	good := open("local", r.secret)
	_ = r.client.Close() // the session whose credentials were used ends; another has equal ones
	r.client = good
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		purge()
		if err := ask(good, q, fields); err == nil {
			break
		} else if time.Now().After(end) { // the way out may have been the session's that ends
			t.Fatal(err)
		}
	}
}

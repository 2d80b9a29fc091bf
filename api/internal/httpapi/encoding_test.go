package httpapi_test

import (
	"testing"

	"redoubt/api/internal/apitest"
)

func TestBodiesThatWeWouldMisreadAreRefused(t *testing.T) {
	a := apitest.New(t)
	id := create(t, a, person)
	for _, c := range []struct {
		header, value string
		status        int
	}{
		{"Content-Encoding", "gzip", 415},
		{"Content-Encoding", "br", 415},
		{"Content-Encoding", "identity, gzip", 415},
		{"Content-Encoding", "", 415},
		{"Content-Encoding", "identity", 200},
		{"Content-Type", "application/json; charset=utf-16", 415},
		{"Content-Type", "application/json; charset=ISO-8859-1", 415},
		{"Content-Type", "application/json; charset", 415},
		{"Content-Type", "text/plain; charset=latin1", 415},
		{"Content-Type", "application/json; charset=UTF-8", 200},
		{"Content-Type", `application/json; charset="utf-8"`, 200},
		{"Content-Type", "application/merge-patch+json", 200},
		{"Content-Type", "", 200},
	} {
		for _, at := range [][2]string{{"POST", "/v1/vaults"}, {"PATCH", "/v1/vaults/" + id}, {"DELETE", "/v1/vaults/" + id}} {
			if got := a.Do(at[0], at[1], `{}`, c.header, c.value); got.Status != c.status {
				t.Errorf("%s with %s: %s: %d %s", at[0], c.header, c.value, got.Status, got.Body)
			}
		}
	}
}

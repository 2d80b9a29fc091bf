package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"redoubt/api/client"
)

// TestTheAuditTellsARawReleaseFromAMaskedOne: two decrypts that differ in an expression's source alone, through every
// part. The log tells which one let the number out.
func TestTheAuditTellsARawReleaseFromAMaskedOne(t *testing.T) {
	r := shared.get(t)
	c, err := client.New(client.Config{URL: "http://" + r.Addresses.API, HTTP: &http.Client{Timeout: 30 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	made, err := c.Create(ctx, map[string]string{"ssn9": "078051120", "dob": "1990-12-10"}, client.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all, none := []string{"ssn9", "dob"}, []string{}
	var want []string
	for _, step := range []struct {
		source  string
		include *[]string
		value   string
		entry   string
	}{
		{"ssn9", &none, `"078051120"`, "[] reads [ssn9] raw [ssn9]"},
		{"ssn9.mask(4)", &none, `"*****1120"`, "[] reads [ssn9] raw []"},
		{"ssn9.mask(4)", nil, `"*****1120"`, "[ssn9 dob] reads [ssn9] raw []"},
		{"date(dob).age() > 18u ? ssn9.last(4) : ''", &none, `"1120"`, "[] reads [ssn9 dob] raw []"},
		{"ssn9 + ''", &none, `"078051120"`, "[] reads [ssn9] raw [ssn9]"},
	} {
		out, err := c.Decrypt(ctx, made.ID, client.DecryptRequest{
			Fields: all, Include: step.include, Reason: "test", Expressions: map[string]string{"masked": step.source},
		})
		if err != nil || string(out.Data["masked"]) != step.value {
			t.Fatalf("%s: %v, %v", step.source, err, out)
		}
		want = append(want, step.entry)
	}
	entries, _, err := c.Audit(ctx, made.ID, client.Page{})
	if err != nil {
		t.Fatal(err)
	}
	var got, sources []string
	for _, e := range entries[1:] {
		a := e.Access["masked"]
		slices.SortFunc(a.Reads, func(x, y string) int { return slices.Index(all, x) - slices.Index(all, y) })
		got = append(got, fmt.Sprint(e.Released, " reads ", a.Reads, " raw ", a.Raw))
		sources = append(sources, a.SourceMAC)
		if a.Unknown || len(e.Access) != 1 {
			t.Errorf("entry %+v", e)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("log\n%q, want\n%q", got, want)
	}
	if sources[0] == sources[1] || sources[1] != sources[2] || len(sources[0]) != 64 {
		t.Errorf("sources %v", sources)
	}
}

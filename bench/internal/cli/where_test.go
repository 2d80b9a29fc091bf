package cli

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/bench/internal/corpus"
	"redoubt/wire/kit/program"
	"redoubt/wire/kit/sealed"
)

// The mistake is told before any load, with the flag that mends it.
func TestAnAPIsCorpusIsNotOfferedToAParent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "corpus")
	c := &corpus.Corpus{
		Suite: sealed.P384, Encoding: sealed.EncodingRecord, Region: "us-east-1", API: true,
		Vaults: []corpus.Vault{{ID: "v_1", Label: "l"}},
	}
	if err := c.Save(file); err != nil {
		t.Fatal(err)
	}
	asked := 0
	parent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/enclaves" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer parent.Close()
	var stdout, stderr bytes.Buffer
	status := run(context.Background(), []string{"http", "--url", parent.URL, "--corpus", file, "--duration", "100ms"}, "dev",
		&stdout, &stderr)
	if status != program.Usage || !strings.Contains(stderr.String(), "--url is a parent") || asked != 1 {
		t.Errorf("status %d after %d requests: %s", status, asked, stderr.String())
	}
}

package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/wire/kit/program"
)

func TestKeysCrossNoNetworkInTheClearUnlessAskedTo(t *testing.T) {
	cases := []struct {
		address                  string
		authenticated, protected bool
		want                     string // of the error, "" for none
	}{
		{"127.0.0.1:0", false, false, ""},
		{"localhost:0", true, false, ""},
		{"[::1]:0", true, false, ""},
		{"0.0.0.0:0", false, false, "without authentication"},
		{"0.0.0.0:0", false, true, "without authentication"},
		{"0.0.0.0:0", true, false, "without TLS"},
		{":0", true, false, "without TLS"},
		{"example.com:0", true, false, "without TLS"},
		{"0.0.0.0:0", true, true, ""},
		{"nowhere", true, true, "not HOST:PORT"},
	}
	for _, c := range cases {
		err := mayListen(c.address, c.authenticated, c.protected)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestStartIsRefused(t *testing.T) {
	dir := t.TempDir()
	for line, want := range map[string]string{
		"serve --listen=0.0.0.0:0 --keys=" + filepath.Join(dir, "keys"):                        "--insecure-plain-http",
		"serve --legacy-cutover=2999-01-01T00:00:00Z --store=bolt:" + filepath.Join(dir, "db"): "the cut-over is later than now",
		"serve --legacy-cutover=yesterday --store=bolt:" + filepath.Join(dir, "db2"):           "--legacy-cutover is not a time",
	} {
		var out, errOut bytes.Buffer
		status := Main(strings.Fields(line), "v1", strings.NewReader(""), &out, &errOut)
		end := program.Failed
		if strings.Contains(line, "yesterday") {
			end = program.Usage
		}
		if status != end || !strings.Contains(errOut.String(), want) || !strings.Contains(errOut.String(), "hint:") {
			t.Errorf("%s: status %d, %s", line, status, errOut.String())
		}
	}
}

package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"redoubt/bench/internal/measure"
)

func sample(commit, time string, p50 float64) Set {
	l := measure.Value("http/hot/64/p50", p50, "us", 100)
	l.Curve = [][2]float64{{0, 1}, {0.5, p50}, {0.9, 2 * p50}, {0.99, 9 * p50}, {1, 20 * p50}}
	meta := measure.Value("meta", 1, "s", 1)
	meta.Meta = map[string]string{"commit": commit, "time": time}
	return Set{commit, []measure.Line{
		meta, l, measure.Value("http/hot/64/rate", 20_000, "req/s", 100), measure.Value("http/reference/64/rate", 4000, "req/s", 100),
		measure.Value("http/hot/closed-8/rate", 1000, "req/s", 9), measure.Value("http/hot/closed-8/p50", 80, "us", 9),
		measure.Value("http/hot/closed-8/p99", 90, "us", 9), measure.Value("http/hot/closed-16/rate", 1900, "req/s", 9),
		measure.Value("http/hot/closed-16/p50", 85, "us", 9), measure.Value("http/hot/closed-16/p99", 99, "us", 9),
		measure.Ratio("wire/ours-of-bare/128/rate", 0.7, 9, "bare", measure.AtLeast(0.6)),
		measure.Ratio("crypto/P-384/open/x-ecdh", 1.1, 9, "one ECDH", measure.AtMost(1.05)),
	}}
}

func TestPageShowsEverythingAndLoadsNothing(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, []Set{sample("aaa", "1", 100), sample("bbb", "2", 90)}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"measurements of bbb", "<dt>commit</dt><dd>bbb</dd>", "Latency by percentile", "Latency against throughput", "Comparisons", "Over time",
		"holds", "missed", "≥ 0.6", "1.17 × better", "1.05 × short", "http/hot/64/p50", "<polyline", "<rect",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "http://", "https://", "src=", "url(", "NaN", "Inf"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	set := sample(`<a&"b">`, "1", 100)
	for i := range set.Lines {
		set.Lines[i].Name = strings.ReplaceAll(set.Lines[i].Name, "hot", `h<&">`)
	}
	charts := append(curves(set.Lines), throughput(set.Lines)...)
	charts = append(append(charts, comparisons(set.Lines)...), history([]Set{set, set})...)
	if len(charts) < 5 {
		t.Fatalf("%d charts", len(charts))
	}
	for _, c := range charts {
		d := xml.NewDecoder(strings.NewReader(string(c.Plot)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", c.Title, err)
			}
		}
	}
}

func TestNoMeasurementsIsAnError(t *testing.T) {
	if err := Write(new(bytes.Buffer), nil); err == nil {
		t.Error("a page of nothing")
	}
}

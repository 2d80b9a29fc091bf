package pages

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"
)

// listener takes down what a test would be told.
type listener struct{ said []string }

func (l *listener) Helper() {}

func (l *listener) Errorf(format string, args ...any) {
	l.said = append(l.said, fmt.Sprintf(format, args...))
}

func (l *listener) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (l *listener) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// hears demands that something with each of the texts was said, and nothing else.
func (l *listener) hears(t *testing.T, texts ...string) {
	t.Helper()
	if len(l.said) != len(texts) {
		t.Errorf("%d complaints: %q", len(l.said), l.said)
	}
	for _, text := range texts {
		if !strings.Contains(strings.Join(l.said, "\n"), text) {
			t.Errorf("no complaint of %q: %q", text, l.said)
		}
	}
}

type good struct {
	Listen string        `help:"Address to serve on." default:"127.0.0.1:1" env:"X_LISTEN" placeholder:"HOST:PORT"`
	Wait   time.Duration `help:"How long, more than 0." default:"2s"`
	Level  string        `help:"Least level: info or warn." enum:"info,warn" default:"info"`
	Kind   string        `help:"What it is | was." enum:"a,b" default:"a"`
	Old    string        `hidden:"" help:"The old name."`
	Files  []string      `help:"Files to read." type:"path" short:"f"`
	Secure bool          `help:"Be secure." required:""`
}

func model(t *testing.T, grammar any) *kong.Application {
	t.Helper()
	k, err := kong.New(grammar, kong.Name("x"))
	if err != nil {
		t.Fatal(err)
	}
	return k.Model
}

func TestFlagsTellNameVariableDefaultAndValues(t *testing.T) {
	got := Flags(t, model(t, &good{}))
	for _, want := range []string{
		"| `--listen=HOST:PORT` | `X_LISTEN` | `127.0.0.1:1` | Address to serve on. |",
		"| `--wait=TIME` | - | `2s` | How long, more than 0. |",
		"| `--level=TEXT` | - | `info` | Least level: info or warn. |",
		"| `--kind=TEXT` | - | `a` | What it is \\| was. One of `a`, `b`. |",
		"| `--old=TEXT` | - | none | The old name. Not shown by `--help`. |",
		"| `-f, --files=FILE,...` | - | none | Files to read. |",
		"| `--secure` | - | required | Be secure. |",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no row %s in\n%s", want, got)
		}
	}
}

func TestThinHelpIsFound(t *testing.T) {
	var l listener
	Flags(&l, model(t, &struct {
		Wait   time.Duration `help:"How long to wait."`
		Size   int           `help:"Largest size."`
		Share  float64       `help:"A share, 0 to 1."`
		Silent string
		Sub    struct {
			Ports []uint16 `help:"Ports of others."`
		} `cmd:"" help:"A command."`
	}{}))
	l.hears(t, "--wait says no limit", "--size says no limit", "--silent has no help text", "--ports says no limit")
}

func TestTablesAreReadByHeading(t *testing.T) {
	var l listener
	if got := Table(&l, "METRICS.md", "Canary")["redoubt_canary_round_trip_ok"]; got != "gauge" {
		t.Errorf("%q", got)
	}
	if _, other := Table(&l, "METRICS.md", "Canary")["redoubt_api_requests_total"]; other {
		t.Error("a table of another heading is read")
	}
	l.hears(t)
	Table(&l, "METRICS.md", "No such heading")
	l.hears(t, "nothing is listed")
}

func TestMetricsThatDifferAreFound(t *testing.T) {
	_, lines, _ := tableOf(t, "METRICS.md", "Canary")
	var rows [][]string
	for _, line := range lines[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		rows = append(rows, append([]string{strings.Trim(cells[0], "`")}, cells[1:4]...))
	}
	columns := strings.Split(strings.Trim(lines[0], "| "), " | ")
	var l listener
	Rows(&l, "Canary", columns, rows)
	l.hears(t)
	gone := rows[0][0]
	rows[0] = []string{"redoubt_canary_new", "gauge", "-", "New."}
	rows[1][1] = "counter"
	Rows(&l, "Canary", columns, rows)
	l.hears(t, "redoubt_canary_new: write the column \"when to worry\" by hand", "is not current")
	for _, text := range []string{"- | `" + gone, "+ | `redoubt_canary_new", "+ | `" + rows[1][0] + "` | counter"} {
		if !strings.Contains(l.said[1], text) {
			t.Errorf("no %q in %s", text, l.said[1])
		}
	}
}

func TestAPartThatIsNotCurrentIsFound(t *testing.T) {
	var l listener
	Reference(&l, "canary", "something else")
	l.hears(t, "is not current")
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "no part") {
			t.Errorf("%v", v)
		}
	}()
	Reference(&l, "no such part", "")
}

func TestFamiliesHaveTheirTypesAndLabels(t *testing.T) {
	r := prometheus.NewRegistry()
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redoubt_a_total", Help: "A."}, []string{"kind"})
	v.WithLabelValues("y")
	v.WithLabelValues("x")
	r.MustRegister(v, prometheus.NewGauge(prometheus.GaugeOpts{Name: "other", Help: "O."}))
	got := Families(t, r, "redoubt_")
	if len(got) != 1 || got[0].Type != "counter" || got[0].Help != "A." || labels(got[0].Labels) != "`kind`: x, y" {
		t.Errorf("%v", got)
	}
}

package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestEveryDurationInALogHasItsUnit, however it came into the record.
func TestEveryDurationInALogHasItsUnit(t *testing.T) {
	var b bytes.Buffer
	log := NewLogger(&b, slog.LevelInfo).With("since", 2*time.Second).WithGroup("g")
	log.Info("text", "took", 1500*time.Microsecond, "any", time.Minute, "n", 5,
		"in", slog.GroupValue(slog.Duration("wait_ms", 123456789*time.Nanosecond)))
	var line struct {
		Since float64 `json:"since_ms"`
		G     struct {
			Took float64 `json:"took_ms"`
			Any  float64 `json:"any_ms"`
			N    int     `json:"n"`
			In   map[string]float64
		} `json:"g"`
	}
	decoder := json.NewDecoder(&b)
	if err := decoder.Decode(&line); err != nil {
		t.Fatal(err)
	}
	g := line.G
	if line.Since != 2000 || g.Took != 1.5 || g.Any != 60_000 || g.N != 5 ||
		!maps.Equal(g.In, map[string]float64{"wait_ms": 123.457}) {
		t.Errorf("%+v", line)
	}
	log.Debug("below the level")
	if decoder.More() {
		t.Error("debug is logged")
	}
}

// handlers finds what makes a handler of its own.
var handlers = regexp.MustCompile(`slog\.New(JSON|Text)Handler\(`)

// TestProgramsLogInOneForm: no code but this package makes a handler, so no log can have another form.
func TestProgramsLogInOneForm(t *testing.T) {
	files := 0
	root := filepath.Join("..", "..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(name, "."):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"), path == filepath.Join(root, "wire", "kit", "program", "program.go"):
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if handlers.Match(text) {
			t.Errorf("%s makes a handler: use package program", path)
		}
		return err
	})
	if err != nil || files < 300 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}

func TestWordsAndStatuses(t *testing.T) {
	var b bytes.Buffer
	if status := Misused(&b, "parent", errors.New("a reason")); status != 2 || b.String() != "parent: a reason\nTry: parent --help\n" {
		t.Errorf("%d %q", status, b.String())
	}
	b.Reset()
	if status := Fail(&b, "parent", errors.New("a reason")); status != 1 || b.String() != "parent: a reason\n" {
		t.Errorf("%d %q", status, b.String())
	}
	b.Reset()
	err := fmt.Errorf("start: %w", Mistake("--n must be 1"))
	if status := Fail(&b, "api", err); status != 2 || b.String() != "api: start: --n must be 1\nTry: api --help\n" {
		t.Errorf("%d %q", status, b.String())
	}
	if got, want := Version("parent", "v1"), "redoubt-parent v1 "+runtime.Version(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestNumbersOutsideTheirBoundsAreRefusedNaNToo(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.1, 1.1, math.MaxFloat64, -math.MaxFloat64} {
		if Within(v, 0, 1) || Range("--ratio", v, 0, 1) == nil {
			t.Errorf("%v is taken for 0 to 1", v)
		}
	}
	for _, v := range []float64{0, 1, 0.5, math.SmallestNonzeroFloat64, math.Copysign(0, -1)} {
		if err := Range("--ratio", v, 0, 1); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
	err := Range("--wait", 2*time.Hour, time.Millisecond, MaxWait)
	if m := mistake(""); !errors.As(err, &m) || err.Error() != "--wait must be 1ms to 1h0m0s" {
		t.Errorf("%v", err)
	}
}

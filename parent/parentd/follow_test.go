package parentd

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileThatCannotBeLoadedIsStaleUntilItCan(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	var loaded string
	load := func() error {
		b, err := os.ReadFile(file)
		if err == nil && bytes.HasPrefix(b, []byte("bad")) {
			err = errors.New("cannot be used")
		}
		if err == nil {
			loaded = string(b)
		}
		return err
	}
	write := func(text string) {
		next := file + ".next"
		if err := errors.Join(os.WriteFile(next, []byte(text), 0o600), os.Rename(next, file)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	a := &Parent{}
	if err := a.follow("thing", []string{file}, load); err == nil || len(a.reload) > 0 {
		t.Fatalf("followed without a file: %v", err)
	}
	write("one")
	if err := a.follow("thing", []string{file}, load); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		write, loaded string
		stale         float64
		logged        string
	}{
		{"", "one", 0, ""},
		{"second", "second", 0, "loaded a changed file"},
		{"bad", "second", 1, "the old content stays"},
		{"", "second", 1, ""},
		{"bad, too", "second", 1, "the old content stays"},
		{"the third", "the third", 0, "loaded a changed file"},
	} {
		if step.write != "" {
			write(step.write)
		}
		out.Reset()
		a.reload[0].look(log)
		if loaded != step.loaded || a.stale() != step.stale || !strings.Contains(out.String(), step.logged) ||
			step.logged == "" && out.Len() > 0 {
			t.Errorf("after %q: loaded %q, stale %v, log %s", step.write, loaded, a.stale(), out.String())
		}
	}
}

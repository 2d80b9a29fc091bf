package audit

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheEventsNamesStandInOneTable: they are the reference's words, stored and covered by each entry's MAC for
// ever. So they never change, and no program spells one by itself.
func TestTheEventsNamesStandInOneTable(t *testing.T) {
	events := []string{EventCreate, EventUpdate, EventDelete, EventDecrypt}
	if want := []string{"CreateVault", "UpdateVault", "DeleteVault", "DecryptVault"}; !slices.Equal(events, want) {
		t.Fatalf("%q, stored are %q", events, want)
	}
	files, root := 0, filepath.Join("..", "..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"), strings.Contains(path, "storetest"),
			d.Name() == "entry.go":
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		for _, event := range events {
			if strings.Contains(string(text), `"`+event+`"`) {
				t.Errorf("%s spells %s", path, event)
			}
		}
		return err
	})
	if err != nil || files < 300 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}

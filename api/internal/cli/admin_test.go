package cli

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/api/internal/store"
	"redoubt/api/internal/store/bolt"
)

func TestARestoreThatStandsStillEndsAndChangesNothing(t *testing.T) {
	file, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Create(t.Context(), &store.Record{ID: "v_1"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	var copied bytes.Buffer
	if _, err := file.Backup(&copied); err != nil {
		t.Fatal(err)
	}
	swapped := errors.New("swapped")
	s := httptest.NewServer(adminHandler(file, func(func() error) error { return swapped }, nil, time.Second,
		slog.New(slog.DiscardHandler)))
	defer s.Close()
	// The body's first half is sent, then nothing.
	body, half := io.Pipe()
	defer half.Close()
	go func() { _, _ = half.Write(copied.Bytes()[:copied.Len()/2]) }()
	resp, err := http.Post(s.URL+"/restore", "application/octet-stream", body)
	if err == nil {
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity || strings.Contains(string(text), swapped.Error()) {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
	}
	if _, err := file.Get(t.Context(), "v_1"); err != nil {
		t.Fatal(err)
	}
	if resp, err = http.Post(s.URL+"/restore", "application/octet-stream", &copied); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); !strings.Contains(string(text), swapped.Error()) {
		t.Fatalf("a whole one: %d %s", resp.StatusCode, text)
	}
}

func TestABackupThatNobodyTakesEnds(t *testing.T) {
	w, r := net.Pipe()
	defer w.Close()
	defer r.Close()
	m := &moving{w: w, limit: time.Millisecond, deadline: w.SetWriteDeadline}
	if _, err := m.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestOnlyASocketIsRemoved(t *testing.T) {
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "file"), filepath.Join(dir, "socket")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as a server leaves it that was killed
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for path, removed := range map[string]bool{file: false, dir: false, socket: true, filepath.Join(dir, "none"): true} {
		err := removeSocket(path)
		var h *hinted
		if removed != (err == nil) || err != nil && !errors.As(err, &h) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
		if _, err := os.Lstat(path); removed != errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}

package main_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/client"
	"redoubt/api/internal/apitest"
)

// backedUp makes a store with one vault, backs it up to a file beside it, and returns the vault's id.
func backedUp(t *testing.T, stack *apitest.Stack, file, to string) (id string) {
	t.Helper()
	s := start(t, stack, file, "--suite", "P-256")
	made, err := s.client.Create(t.Context(), map[string]string{"city": "Bern"}, client.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := command(t, stack.Env("API_STORE=bolt:"+file), "backup", to); code != 0 {
		t.Fatal(errOut)
	}
	if err := s.stop(t); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

func TestRequestsAreServedWhileABackupIsUploaded(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	file, copied := filepath.Join(dir, "store.db"), filepath.Join(dir, "copy")
	id := backedUp(t, stack, file, copied)
	s := start(t, stack, file, "--suite", "P-256")
	if err := s.client.Delete(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	body, upload := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", file+".sock")
		}}}
		resp, err := c.Post("http://admin/restore", "application/octet-stream", body)
		if err == nil {
			err = resp.Body.Close()
		}
		ended <- err
	}()
	if _, err := upload.Write(data[:len(data)/2]); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { // the server unpacks
		list, _ := filepath.Glob(filepath.Join(dir, ".*.restore-*"))
		return len(list) == 1
	})
	for range 20 {
		made, err := s.client.Create(t.Context(), map[string]string{"city": "Basel"}, client.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.client.Decrypt(t.Context(), made.ID, client.DecryptRequest{Fields: []string{"city"}, Reason: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := upload.Write(data[len(data)/2:]); err != nil {
		t.Fatal(err)
	}
	_ = upload.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	list, _, err := s.client.List(t.Context(), client.Page{})
	if err != nil || len(list) != 1 || list[0].ID != id {
		t.Fatalf("after the restore: %v, %v", list, err)
	}
}

func TestRestoreRepairsADamagedStore(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	file, copied := filepath.Join(dir, "store.db"), filepath.Join(dir, "copy")
	id := backedUp(t, stack, file, copied)
	if err := os.WriteFile(file, []byte(strings.Repeat("damaged", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := command(t, stack.Env("API_STORE=bolt:"+file), "restore", copied, "--yes"); code != 0 {
		t.Fatal(errOut)
	}
	if _, _, err := start(t, stack, file).client.Get(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, errOut, code := command(t, stack.Env("API_STORE=bolt:"+file), "restore", copied, "--yes", "--admin", "off"); code != 1 ||
		!strings.Contains(errOut, "hint: is another api serving this file") {
		t.Fatalf("beside a server: exit %d: %s", code, errOut)
	}
}

func TestRestoreMakesAStoreOnlyWhenItIsTold(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	copied, other := filepath.Join(dir, "copy"), filepath.Join(dir, "other", "store.db")
	id := backedUp(t, stack, filepath.Join(dir, "store.db"), copied)
	env := stack.Env("API_STORE=bolt:" + other)
	if _, errOut, code := command(t, env, "restore", copied, "--yes"); code != 1 || !strings.Contains(errOut, "there is no store at "+other) ||
		!strings.Contains(errOut, "hint: name the one to replace") {
		t.Fatalf("exit %d: %s", code, errOut)
	}
	if _, err := os.Stat(filepath.Dir(other)); err == nil {
		t.Fatal("something was made")
	}
	if _, errOut, code := command(t, env, "restore", copied, "--yes", "--create"); code != 0 {
		t.Fatal(errOut)
	}
	if _, _, err := start(t, stack, other).client.Get(t.Context(), id); err != nil {
		t.Fatal(err)
	}
}

func TestAnotherFileInTheSocketsPlaceIsKept(t *testing.T) {
	stack, dir := apitest.NewStack(t), t.TempDir()
	notes := filepath.Join(dir, "notes")
	if err := os.WriteFile(notes, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errOut, code := command(t, stack.Env(), "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off",
		"--store", "bolt:"+filepath.Join(dir, "store.db"), "--admin", notes)
	if data, _ := os.ReadFile(notes); code != 1 || string(data) != "precious" || !strings.Contains(errOut, "hint: name another file with --admin") {
		t.Fatalf("exit %d: %s", code, errOut)
	}
}

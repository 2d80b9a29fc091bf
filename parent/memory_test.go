package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"redoubt/parent/internal/fakeenclave"
	"redoubt/wire"
)

// find searches the writable memory of a process and returns where needle was found, by the name of the mapping.
func find(t *testing.T, pid int, needle []byte) (hits []string) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	searched := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var perms string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); err != nil || !strings.HasPrefix(perms, "rw") {
			continue
		}
		b := make([]byte, to-from)
		n, err := mem.ReadAt(b, from)
		if err != nil && err != io.EOF && n == 0 {
			continue // the kernel's own mappings
		}
		searched += n
		for at := 0; ; at++ {
			i := bytes.Index(b[at:n], needle)
			if i < 0 {
				break
			}
			at += i
			hits = append(hits, fmt.Sprintf("%x %s", from+int64(at), context64(b[:n], at)))
		}
	}
	if searched < 1<<20 {
		t.Fatalf("only %d bytes could be searched", searched)
	}
	return hits
}

// context64 shows what stands around a hit, to tell whose copy it is.
func context64(b []byte, at int) string {
	return fmt.Sprintf("%q", b[max(0, at-48):min(len(b), at+64)])
}

// TestPlaintextIsGoneFromMemory is check 22 for the parent's memory: the values of answers are searched for in a parent
// that has served them, by every route and size, with its connections still open.
func TestPlaintextIsGoneFromMemory(t *testing.T) {
	var random [12]byte
	if _, err := rand.Read(random[:]); err != nil {
		t.Fatal(err)
	}
	sentinel := hex.EncodeToString(random[:])
	whole := sentinel + strings.Repeat("0123456789abcdef", 40)
	e := fakeenclave.Start(t, func(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
		// Only answers hold it; sizes from one small value to more than any buffer.
		size := int(req.Fields[0].Blob[0]) * 300
		for i := range req.Fields {
			resp.Add(wire.Result{
				Kind: wire.ResultField, Index: uint16(i), ValueKind: wire.ValueString,
				Value: []byte(strings.Repeat("x", size) + whole + "\n\"quoted\""),
			})
		}
	})
	p := startParent(t, "readable", "--enclave", e.URL)
	p.waitReady()
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	for w := range 8 {
		wg.Go(func() {
			for i := range 60 {
				status, body, err := p.decrypt(client, string([]byte{byte((w*60 + i) % 256), 1}))
				if err != nil || status != 200 || !strings.Contains(body, sentinel) {
					t.Errorf("%d %.100s %v", status, body, err)
					return
				}
			}
		})
	}
	wg.Wait()
	item := `{"vault_id":"v","region":"us-east-1","suite_id":"SFBLRQARAAIAAg==","encrypted_private_key":"QQ==","fields":{"f":"AQE=","g":"AgI="}}`
	resp, err := client.Post(p.url+"/v1/decrypt/batch", "application/json", strings.NewReader(`{"items":[`+strings.Repeat(item+",", 200)+item+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || bytes.Count(b, []byte(sentinel)) != 402 {
		t.Errorf("batch: %d, %d values", resp.StatusCode, bytes.Count(b, []byte(sentinel)))
	}
	var hits []string
	for end, began := time.Now().Add(time.Second), time.Now(); ; began = time.Now() { // the last search begins after it
		if hits = find(t, p.cmd.Process.Pid, []byte(whole)); len(hits) == 0 || began.After(end) {
			break
		}
	}
	if len(hits) > 0 {
		t.Errorf("%d copies of plaintext a second later: %s", len(hits), hits[0])
	}
	// Fragments of the value come from vector registers in the middle of a copy, which the runtime saves on a
	// goroutine's stack when it preempts it: at most 256 bytes at a place, until the stack is used as deeply again.
	fragments := find(t, p.cmd.Process.Pid, []byte(sentinel))
	t.Logf("%d fragments in saved registers", len(fragments))
	if len(fragments) > 16 {
		t.Errorf("%d fragments of plaintext: %s", len(fragments), fragments[0])
	}
	// The search can find what is there: the vault id's neighbour in the request's pooled memory.
	if len(find(t, p.cmd.Process.Pid, []byte("SFBLRQARAAIAAg=="))) == 0 {
		t.Error("the search finds nothing at all")
	}
}

// TestCredentialsAreHeldOnceAndWiped: the secret key is in one place, outside the Go heap, while it is in use.
func TestCredentialsAreHeldOnceAndWiped(t *testing.T) {
	e := fakeenclave.Start(t, nil)
	p := startParent(t, "readable", "--enclave", e.URL)
	p.waitReady()
	fakeenclave.Wait(t, "credentials in both sessions", func() bool { n, _ := e.Credentials(); return n >= 2 })
	var hits []string
	// Yamux and the runtime hold parts of the last answer until the next traffic, at the latest the next pings.
	for end, began := time.Now().Add(10*time.Second), time.Now(); ; began = time.Now() {
		if hits = find(t, p.cmd.Process.Pid, []byte(credential())); len(hits) <= 1 || began.After(end) {
			break
		}
	}
	for _, h := range hits {
		t.Log(h)
	}
	if len(hits) != 1 {
		t.Errorf("%d copies of the secret key", len(hits))
	}
}

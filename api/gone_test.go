package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"redoubt/api/client"
	"redoubt/api/internal/apitest"
)

const decryptBody = `{"fields":["city"],"reason":"test"}`

// rawDecrypt sends a decrypt over a connection of its own.
func rawDecrypt(t *testing.T, s *server, id string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "POST /v1/vaults/%s/decrypt HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\n\r\n%s", id, len(decryptBody), decryptBody)
	if err != nil {
		t.Fatal(err)
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP")
	}
	return tcp
}

// scrape is the text of the server's metrics.
func scrape(t *testing.T, s *server) string {
	t.Helper()
	resp, err := http.Get(s.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func heldServer(t *testing.T) (*server, *apitest.Held, string) {
	t.Helper()
	stack := apitest.NewStack(t)
	held := apitest.Hold(t, stack.Parent)
	s := start(t, stack, filepath.Join(t.TempDir(), "store.db"), "--parent-url", held.URL)
	made, err := s.client.Create(t.Context(), map[string]string{"city": "Bern"}, client.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s, held, made.ID
}

// A caller may end its half of the connection once it has sent all: it waits for its answer.
func TestHalfClosedCallersGetTheirAnswers(t *testing.T) {
	s, held, id := heldServer(t)
	const n = 8
	var conns []*net.TCPConn
	for range n {
		c := rawDecrypt(t, s, id)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		<-held.Entered
	}
	close(held.Release)
	for _, c := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), `"city":"Bern"`) {
			t.Errorf("%d %s %v", resp.StatusCode, body, err)
		}
	}
}

// A caller that resets its connection is nobody's failure: not ours, not the parent's. The log tells of the attempt.
func TestCallersThatResetAreCanceled(t *testing.T) {
	s, held, id := heldServer(t)
	defer close(held.Release)
	c := rawDecrypt(t, s, id)
	<-held.Entered
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	const counted = `redoubt_api_requests_total{code="canceled",method="POST",route="/vaults/{id}/decrypt",status="499"} 1`
	waitFor(t, func() bool { return strings.Contains(scrape(t, s), counted) })
	text := scrape(t, s)
	if strings.Contains(text, `status="5`) {
		t.Error("counted as a failure of ours")
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, `redoubt_api_dependency_duration_seconds_count{dependency="parent"`) &&
			!strings.Contains(line, `outcome="canceled"`) {
			t.Errorf("the parent is blamed: %s", line)
		}
	}
	resp, err := http.Get(s.url + "/v1/vaults/" + id + "/audit")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var log struct {
		Entries []struct{ Event, Outcome, Code string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	last := log.Entries[len(log.Entries)-1]
	if last.Event != "DecryptVault" || last.Outcome != "failed" || last.Code != "canceled" {
		t.Errorf("audit %+v", log.Entries)
	}
}

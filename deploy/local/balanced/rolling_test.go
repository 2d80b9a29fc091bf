//go:build operate

package balanced

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func (s *site) records(t *testing.T, n int) []*sealed {
	t.Helper()
	var out []*sealed
	for i := range n {
		out = append(out, s.seal(t, fmt.Sprint("roll", i)))
	}
	return out
}

func TestRollingRestartOfTwoParentsFailsNoRequest(t *testing.T) {
	s, a := theSite(t), newAuthority(t)
	a.server("now")
	config := a.trusting()
	records := s.records(t, 8)
	enclaves := []string{s.socket()}
	args := append(a.flags(), "--ready-wait", readyWait.String(), "--drain-timeout", "10s")
	parents := []*parent{s.newParent(t, "one", enclaves, args...), s.newParent(t, "two", enclaves, args...)}
	b := newBalancer(t, parents, "")
	base := "https://" + b.addr
	var sleepers []*http.Client // with a connection each that lies idle while parents come and go
	for i := range 8 {
		c := caller(config, true)
		if _, err := records[i].post(t.Context(), c, base); err != nil {
			t.Fatal(err)
		}
		sleepers = append(sleepers, c)
	}
	l := startLoad(t, base, config, records)
	l.more(loadRate / 2)
	for _, p := range parents {
		s.restart(t, b, p, config)
		l.more(loadRate / 2)
	}
	for i, c := range sleepers {
		if _, err := records[i].post(t.Context(), c, base); err != nil {
			t.Errorf("on a connection that was idle: %v", err)
		}
		c.CloseIdleConnections()
	}
	l.judge()
	if l.closed < loadCallers {
		t.Errorf("only %d connections were handed over", l.closed)
	}
	for _, p := range parents {
		if n := b.connections(p); n == "" || n == "0" {
			t.Errorf("the balancer sent nothing to %s", p.spec.Name)
		}
	}
}

// restart restarts a parent as a service manager does, and says how long each step took. A request that it has taken
// just before ends after the listener has closed, and is answered.
func (s *site) restart(t *testing.T, b *balancer, p *parent, config *tls.Config) {
	t.Helper()
	s.admin(t, http.MethodPost, "faults", fmt.Sprintf(`{"kind":"delay","operation":"Decrypt","delay_ms":%d,"times":1}`,
		(readyWait+400*time.Millisecond).Milliseconds()))
	slow := make(chan error, 1)
	cold := s.seal(t, fmt.Sprint("cold", time.Now().UnixNano())) // whose key KMS must be asked for
	go func() {
		_, err := cold.post(context.Background(), caller(config, false), "https://"+p.addr)
		slow <- err
	}()
	eventually(t, "a request waits for its key", 5*time.Second, func() bool {
		return s.admin(t, http.MethodGet, "faults", "") == "[]" // it has struck
	})
	begin := time.Now()
	if err := p.proc.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "not ready", time.Second, func() bool { return p.status("/ready") == http.StatusServiceUnavailable })
	unready := time.Since(begin)
	b.wait(p, "DOWN")
	noticed := time.Since(begin)
	eventually(t, "the listener is closed", 5*time.Second, func() bool {
		c, err := net.Dial("tcp", p.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	closed := time.Since(begin)
	if err := <-slow; err != nil {
		t.Errorf("a request in flight: %v", err)
	}
	answered := time.Since(begin)
	p.wait()
	ended := time.Since(begin)
	t.Logf("%s: /ready fails after %v, the balancer stops sending after %v, the listener closes after %v, the last "+
		"request is answered after %v, the process ends after %v", p.spec.Name, ms(unready), ms(noticed), ms(closed),
		ms(answered), ms(ended))
	if closed < readyWait || closed < noticed || answered < closed {
		t.Error("not in this order")
	}
	if !strings.Contains(p.log.String(), `"msg":"drained"`) {
		t.Error("it did not drain")
	}
	begin = time.Now()
	p.start()
	p.waitReady()
	again := time.Since(begin)
	b.wait(p, "UP")
	t.Logf("%s: ready again after %v, sent to again after %v", p.spec.Name, ms(again), ms(time.Since(begin)))
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// newEnclave starts a further enclave, with the configuration of the site's but for its socket.
func (s *site) newEnclave(t *testing.T, name string) (*program, string) {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(s.state, "enclave.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(s.state, name+".sock")
	config = bytes.Replace(config, []byte(s.socket()), []byte("unix://"+socket), 1)
	file := filepath.Join(s.state, name+".yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{}
	run(t, p, name, filepath.Join(*bin, "enclave"), "--config", file)
	return p, socket
}

func TestRestartOfOneOfTwoEnclavesFailsNoRequest(t *testing.T) {
	s := theSite(t)
	one, oneSocket := s.newEnclave(t, "e1")
	two, twoSocket := s.newEnclave(t, "e2")
	p := s.newParent(t, "parent", []string{"unix://" + oneSocket, "unix://" + twoSocket})
	ready := func() bool {
		for _, socket := range []string{oneSocket, twoSocket} {
			if p.metric(`redoubt_enclave_sessions_ready{enclave="unix://`+socket+`"}`) != "2" {
				return false
			}
		}
		return true
	}
	b := newBalancer(t, []*parent{p}, "")
	l := startLoad(t, "http://"+b.addr, nil, s.records(t, 8))
	l.more(loadRate / 2)
	for _, e := range []struct {
		*program
		socket string
	}{{one, oneSocket}, {two, twoSocket}} {
		for _, how := range []string{"SIGTERM", "SIGKILL"} {
			eventually(t, "both enclaves are ready", 10*time.Second, ready)
			l.more(loadRate / 4)
			if how == "SIGKILL" {
				e.proc.Kill() // as nitro-cli terminate-enclave does
			} else {
				e.terminate()
			}
			l.more(loadRate / 2)
			if err := os.Remove(e.socket); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			e.start()
		}
	}
	l.more(loadRate / 2)
	retried := p.metric("redoubt_parent_requests_retried_total")
	l.judge()
	t.Logf("the parent sent %s requests again to the other enclave", retried)
}

//go:build operate

package balanced

import (
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// How often the balancer asks /ready, and how many answers it takes: ten times as fast as deploy/cloudformation does,
// in the same proportion to --ready-wait.
const (
	checkEvery = 500 * time.Millisecond
	checkFalls = 2
	readyWait  = 1500 * time.Millisecond
)

// balancer is a haproxy in front of parents.
type balancer struct {
	program
	addr  string
	stats string // unix socket
}

const haproxyConfig = `global
  stats socket %[1]s mode 600
  maxconn 2000
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout check 1s
  retries 0
frontend callers
  bind %[2]s
  default_backend parents
backend parents
  balance roundrobin
  option httpchk GET /ready
  http-check expect status 200
  default-server check inter %[3]d fall %[4]d rise 1 %[5]s
`

// newBalancer starts haproxy and waits until it has found all parents ready. server are further words on each server.
func newBalancer(t *testing.T, parents []*parent, server string) *balancer {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy" // not in the PATH of everyone
	}
	dir, err := os.MkdirTemp("", "rdh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &balancer{addr: freePort(t), stats: filepath.Join(dir, "stats")}
	config := fmt.Sprintf(haproxyConfig, b.stats, b.addr, checkEvery.Milliseconds(), checkFalls, server)
	for _, p := range parents {
		// An NLB's checks ask the metrics listener, too: they speak no TLS 1.3.
		config += fmt.Sprintf("  server %s %s addr 127.0.0.1 port %s\n", p.spec.Name, p.addr, portOf(p.metrics))
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, &b.program, "haproxy", path, "-f", file, "-db")
	for _, p := range parents {
		b.wait(p, "UP")
	}
	return b
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// wait returns how long it takes until the balancer has a parent in a state.
func (b *balancer) wait(p *parent, state string) time.Duration {
	b.t.Helper()
	return eventually(b.t, p.spec.Name+" is "+state, 10*time.Second, func() bool { return b.state(p) == state })
}

// state is what the balancer thinks of a parent: UP, DOWN, "UP 1/2" on the way.
func (b *balancer) state(p *parent) string { return b.stat(p, 17) }

// connections is how many connections the balancer has made to a parent.
func (b *balancer) connections(p *parent) string { return b.stat(p, 7) }

// stat is a column of "show stat" (haproxy management guide, section 9.1), "" while there is no answer.
func (b *balancer) stat(p *parent, column int) string {
	c, err := net.DialTimeout("unix", b.stats, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte("show stat\n")); err != nil {
		return ""
	}
	r := csv.NewReader(c)
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	if err != nil {
		return ""
	}
	for _, row := range rows {
		if row[0] == "parents" && row[1] == p.spec.Name && len(row) > column {
			return strings.TrimSpace(row[column])
		}
	}
	return ""
}

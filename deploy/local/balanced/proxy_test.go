//go:build operate

package balanced

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Addresses of these tests, all loopback: who is allowed to send a PROXY header, a caller of the balancer, another
// host, and the address that a liar claims.
const (
	balancerIP = "127.0.0.1"
	callerIP   = "127.0.0.9"
	otherIP    = "127.0.0.3"
	claimedIP  = "203.0.113.77"
)

// proxyHeader is a PROXY protocol header of version 2 for TCP over IPv4 (haproxy's proxy-protocol.txt, section 2.2).
func proxyHeader(source string) []byte {
	h := []byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c")
	h = append(h, net.ParseIP(source).To4()...)
	h = append(h, 192, 0, 2, 1)
	h = binary.BigEndian.AppendUint16(h, 4711)
	return binary.BigEndian.AppendUint16(h, 443)
}

// localHeader is that of a connection of the balancer's own: a health check.
const localHeader = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// withTLV adds what an NLB adds (type 0xea: the endpoint that a connection came through).
func withTLV(h []byte) []byte {
	h = append(h, 0xea, 0, 5, 1, 'v', 'p', 'c', 'e')
	binary.BigEndian.PutUint16(h[14:], uint16(len(h)-16))
	return h
}

const readyRequest = "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

// send sends bytes from an address and returns the status of what comes back, 0 when the connection ends without an
// answer.
func send(t *testing.T, from, to string, data []byte) int {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = c.Write(data)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Error("neither answered nor refused")
		}
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// client waits for the line of a request in the access log and returns the address in it.
func (p *parent) client(id string) (address string) {
	p.t.Helper()
	eventually(p.t, "the line of "+id, 5*time.Second, func() bool {
		for line := range strings.Lines(p.log.String()) {
			if strings.Contains(line, `"request_id":"`+id+`"`) {
				_, rest, _ := strings.Cut(line, `"client":"`)
				address, _, _ = strings.Cut(rest, `"`)
			}
		}
		return address != ""
	})
	host, _, _ := net.SplitHostPort(address)
	return host
}

// named is the request with an id, by which its line in the log is found.
func named(id string) []byte {
	return []byte(strings.Replace(readyRequest, "Host: localhost", "Host: localhost\r\nX-Request-Id: "+id, 1))
}

func newProxied(t *testing.T) *parent {
	s := theSite(t)
	return s.newParent(t, "parent", []string{s.socket()}, "--proxy-protocol-from", balancerIP+"/32", "--access-log",
		"--header-timeout", "1s")
}

func TestTheCallersAddressIsTheOneThatTheBalancerTells(t *testing.T) {
	p := newProxied(t)
	b := newBalancer(t, []*parent{p}, "source "+balancerIP+" send-proxy-v2")
	if status := send(t, callerIP, b.addr, named("through")); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if got := p.client("through"); got != callerIP {
		t.Errorf("the log has %s, want %s", got, callerIP)
	}
	// A header of the caller's own comes after the balancer's, and is no HTTP.
	before := p.log.String()
	if status := send(t, callerIP, b.addr, slices.Concat(proxyHeader(claimedIP), named("liar"))); status == http.StatusOK {
		t.Error("a second header was taken")
	}
	if strings.Contains(strings.TrimPrefix(p.log.String(), before), claimedIP) {
		t.Error("a second header was believed")
	}
}

func TestPROXYHeaderFromElsewhereIsRefused(t *testing.T) {
	p := newProxied(t)
	for _, tc := range []struct {
		name, from string
		data       []byte
		status     int
		client     string
	}{
		{"allowed", balancerIP, slices.Concat(proxyHeader(claimedIP), named("allowed")), 200, claimedIP},
		{"allowed, with TLVs", balancerIP, slices.Concat(withTLV(proxyHeader(claimedIP)), named("tlv")), 200, claimedIP},
		{"allowed, a check of the balancer's own", balancerIP, append([]byte(localHeader), named("local")...), 200, balancerIP},
		{"allowed, without a header", balancerIP, named("bare"), 0, ""},
		{"spoofed from a wrong address", otherIP, slices.Concat(proxyHeader(claimedIP), named("spoofed")), 0, ""},
		{"spoofed, version 1", otherIP, append([]byte("PROXY TCP4 "+claimedIP+" 192.0.2.1 4711 443\r\n"), named("v1")...), 0, ""},
		{"elsewhere, without a header", otherIP, named("direct"), 200, otherIP},
	} {
		if status := send(t, tc.from, p.addr, tc.data); status != tc.status {
			t.Errorf("%s: status %d, want %d", tc.name, status, tc.status)
		}
		if tc.client == "" {
			continue
		}
		id := strings.Fields(string(tc.data[bytes.Index(tc.data, []byte("X-Request-Id: ")):]))[1]
		if got := p.client(id); got != tc.client {
			t.Errorf("%s: the log has %s, want %s", tc.name, got, tc.client)
		}
	}
	for _, never := range []string{`"request_id":"bare"`, `"request_id":"spoofed"`, `"request_id":"v1"`} {
		if strings.Contains(p.log.String(), never) {
			t.Errorf("%s was served", never)
		}
	}
	// haproxy itself, from an address that is not on the list.
	b := newBalancer(t, []*parent{p}, "source "+otherIP+" send-proxy-v2")
	if status := send(t, callerIP, b.addr, named("wrong-balancer")); status != 0 {
		t.Errorf("a balancer that is not on the list: status %d", status)
	}
}

func TestMalformedPROXYHeadersAreRefused(t *testing.T) {
	p := newProxied(t)
	good := proxyHeader(claimedIP)
	edit := func(at int, b byte) []byte {
		h := slices.Clone(good)
		h[at] = b
		return h
	}
	for name, h := range map[string][]byte{
		"signature":                edit(0, 'x'),
		"signature's last byte":    edit(11, 'x'),
		"version 1 in binary":      edit(12, 0x11),
		"version 3":                edit(12, 0x31),
		"unknown command":          edit(12, 0x2f),
		"unknown family":           edit(13, 0x41),
		"no transport":             edit(13, 0x10),
		"length below addresses":   edit(15, 4),
		"length beyond the stream": edit(14, 0xff),
		"length zero":              edit(15, 0),
		"cut off in the signature": good[:6],
		"version 1":                []byte("PROXY TCP4 " + claimedIP + " 192.0.2.1 4711 443\r\n"),
		"version 1 without an end": []byte("PROXY TCP4 " + strings.Repeat("1", 300)),
	} {
		if status := send(t, balancerIP, p.addr, slices.Concat(h, named("malformed"))); status != 0 {
			t.Errorf("%s: status %d", name, status)
		}
	}
	for name, h := range map[string][]byte{"nothing": nil, "half a signature": good[:6], "half a header": good[:20]} {
		if status := send(t, balancerIP, p.addr, h); status != 0 { // until --header-timeout
			t.Errorf("%s, and then silence: status %d", name, status)
		}
	}
	if strings.Contains(p.log.String(), `"request_id":"malformed"`) {
		t.Error("a request behind a malformed header was served")
	}
	if status := send(t, balancerIP, p.addr, slices.Concat(good, named("after"))); status != http.StatusOK {
		t.Errorf("afterwards: status %d", status)
	}
}

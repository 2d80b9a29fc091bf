//go:build attack

package attack

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"redoubt/wire/kit/test/kms"
	"redoubt/wire/kit/test/proctest"
)

// edge is a parent behind a load balancer: PROXY v2 before TLS, and keys of callers.
type edge struct {
	address string
	honest  honest
	roots   *x509.CertPool
}

const edgeKey = "an-honest-callers-key"

var sharedEdge struct {
	once sync.Once
	edge *edge
}

func (r *rig) edge(t *testing.T) *edge {
	t.Helper()
	sharedEdge.once.Do(func() { sharedEdge.edge = r.startEdge(t) })
	if sharedEdge.edge == nil {
		t.Fatal("the edge did not start")
	}
	return sharedEdge.edge
}

// parentArgs are the flags of a further parent on two free ports.
func (r *rig) parentArgs(t *testing.T, enclave string) (listen, metrics string, args []string) {
	t.Helper()
	ports, err := proctest.FreePorts(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0], ports[1], []string{
		"--listen", ports[0], "--metrics-listen", ports[1], "--enclave", "unix://" + enclave, "--region", kms.DefaultRegion,
		"--kms-egress", r.Addresses.KMSTLS, "--ready-wait", "0s", "--drain-timeout", "3s",
	}
}

func (r *rig) startEdge(t *testing.T) *edge {
	t.Helper()
	listen, metrics, args := r.parentArgs(t, filepath.Join(r.state, "enclave.sock"))
	cert, key, roots := certificate(t)
	keys := sha256.Sum256([]byte(edgeKey))
	write := func(name string, text []byte) string {
		path := filepath.Join(r.state, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args = append(args, "--credentials", "static", "--static-credentials-file", filepath.Join(r.state, "credentials.json"),
		"--proxy-protocol-from", "127.0.0.0/8", "--tls-cert", write("edge.pem", cert), "--tls-key", write("edge-key.pem", key),
		"--api-keys-file", write("edge-keys", []byte("honest "+hex.EncodeToString(keys[:])+"\n")))
	r.add(t, "edge", "parent", nil, args, func(ctx context.Context) error {
		return r.call(ctx, http.MethodGet, "http://"+metrics+"/ready", nil, nil)
	})
	e := &edge{address: listen, roots: roots}
	client := &http.Client{Transport: &keyed{http.Transport{
		MaxIdleConnsPerHost: 64,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			if _, err := conn.Write(proxyHeader(&gen{}, conn.LocalAddr().(*net.TCPAddr))); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			tc := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13})
			return tc, tc.HandshakeContext(ctx)
		},
	}}}
	e.honest = r.askParent("edge", client, "https://"+listen)
	return e
}

// keyed adds the honest caller's key.
type keyed struct{ http.Transport }

func (k *keyed) RoundTrip(q *http.Request) (*http.Response, error) {
	q = q.Clone(q.Context())
	q.Header.Set("Authorization", "Bearer "+edgeKey)
	return k.Transport.RoundTrip(q)
}

// certificate makes a certificate of localhost that is its own root, in PEM.
func certificate(t *testing.T) (cert, key []byte, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs}), roots
}

// proxyHeader gives a header of the PROXY protocol, version 2 (haproxy's doc/proxy-protocol.txt, 2.2).
func proxyHeader(g *gen, from *net.TCPAddr) []byte {
	signature := []byte("\r\n\r\n\x00\r\nQUIT\n")
	mutates := g.Rand != nil
	num := func(n, most uint64) uint64 {
		if mutates {
			return g.num(n, most)
		}
		return n
	}
	addresses := append(append([]byte{}, from.IP.To4()...), 127, 0, 0, 1)
	addresses = binary.BigEndian.AppendUint16(addresses, uint16(from.Port))
	addresses = binary.BigEndian.AppendUint16(addresses, 443)
	family := byte(0x11)
	if mutates && g.oneIn(4) {
		family = pick[byte](g, 0x21, 0x31, 0x12, 0x00, 0x41)
		addresses = g.random(pick(g, 36, 216, 12, 0))
	}
	var values []byte
	if mutates {
		for range g.IntN(5) {
			value := g.data(g.random(g.IntN(64)))
			values = append(values, pick[byte](g, 1, 2, 3, 4, 5, 0x20, 0x21, 0x30, 0xea, byte(g.Uint32())))
			values = binary.BigEndian.AppendUint16(values, uint16(num(uint64(len(value)), 65535)))
			values = append(values, value...)
		}
	}
	h := append(signature, byte(num(0x21, 255)), family)
	h = binary.BigEndian.AppendUint16(h, uint16(num(uint64(len(addresses)+len(values)), 65535)))
	h = append(append(h, addresses...), values...)
	if mutates && g.oneIn(8) { // a checksum, of the whole header with it as zeros
		h = append(h, 3, 0, 4, 0, 0, 0, 0)
		binary.BigEndian.PutUint16(h[14:], uint16(len(h)-16))
		binary.BigEndian.PutUint32(h[len(h)-4:], uint32(num(uint64(crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli))), 1<<31)))
	}
	if mutates {
		if g.hit() {
			return []byte(pick(g, "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "PROXY UNKNOWN\r\n", "PROXY ", "GET / HTTP/1.1\r\n\r\n"))
		}
		return g.data(h)
	}
	return h
}

// clientHello is the first flight of Go's TLS client.
func clientHello(config *tls.Config) []byte {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	go func() { _ = tls.Client(near, config).Handshake(); _ = near.Close() }()
	b := make([]byte, 16<<10)
	n, _ := far.Read(b)
	return b[:n]
}

// records gives bytes of TLS from the first on: hello, alerts, records of every type, whole and cut.
func (g *gen) records(hello []byte) [][]byte {
	pieces := [][]byte{g.data(hello)}
	for range g.IntN(8) {
		body := g.random(g.IntN(1 << g.IntN(15)))
		record := append([]byte{byte(g.num(uint64(20+g.IntN(5)), 25)), 3, byte(g.num(3, 4))}, 0, 0)
		binary.BigEndian.PutUint16(record[3:], uint16(g.num(uint64(len(body)), 1<<14+256)))
		pieces = append(pieces, append(record, body...))
	}
	if g.oneIn(4) { // many hellos, many empty records
		pieces = append(pieces, repeated(g, []byte{pick[byte](g, 20, 21, 22, 23), 3, 3, 0, 0}))
	}
	return order(g, pieces)
}

func repeated(g *gen, b []byte) (out []byte) {
	for range 1 << g.IntN(12) {
		out = append(out, b...)
	}
	return out
}

// meddler mutates what a peer of ours writes on its connection, beneath its TLS.
type meddler struct {
	net.Conn
	g *gen
	a *arena
}

func (m *meddler) Write(b []byte) (int, error) {
	sent := m.g.data(b)
	m.a.note(sent)
	if _, err := m.Conn.Write(sent); err != nil {
		return 0, err
	}
	return len(b), nil
}

// TestAttackEdge speaks PROXY v2, TLS beneath it and HTTP beneath that to a parent that callers reach by a load balancer.
func TestAttackEdge(t *testing.T) {
	r := shared.get(t)
	e := r.edge(t)
	configs := []*tls.Config{
		{ServerName: "localhost", MinVersion: tls.VersionTLS13, RootCAs: e.roots},
		{ServerName: "localhost", MaxVersion: tls.VersionTLS12},
		{ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}},
		{ServerName: "a.b", CurvePreferences: []tls.CurveID{tls.CurveP521}},
	}
	var hellos [][]byte
	for _, c := range configs {
		hellos = append(hellos, clientHello(c))
	}
	strike(t, r, attack{name: "edge", callers: []honest{e.honest}, round: func(ctx context.Context, a *arena, g *gen) error {
		from := &net.TCPAddr{IP: net.IPv4(10, 0, 0, byte(g.Uint32())), Port: 1024 + g.IntN(60000)}
		if g.oneIn(2) {
			_, err := a.speak(ctx, g, "tcp", e.address, append([][]byte{proxyHeader(g, from)}, g.records(pick(g, hellos...))...))
			return err
		}
		conn, err := (&net.Dialer{Timeout: roundTime}).DialContext(context.WithoutCancel(ctx), "tcp", e.address)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(roundTime))
		m := &meddler{conn, g, a}
		if _, err := m.Write(proxyHeader(g, from)); err != nil {
			return nil // it may end at any byte
		}
		tc := tls.Client(m, configs[0])
		if tc.HandshakeContext(ctx) != nil {
			return nil // it was meddled with
		}
		var pieces [][]byte
		for range 1 + g.IntN(3) {
			q := r.parentRequest(g, "localhost")
			if g.oneIn(2) {
				q.headers = append(q.headers, [2]string{"Authorization", "Bearer " + g.text(edgeKey)})
			}
			pieces = append(pieces, g.write(q)...)
		}
		heard, err := a.speakOn(ctx, g, tc, pieces)
		if err == nil {
			err = a.refusals(heard)
		}
		return err
	}})
}

//go:build operate

package cloudformation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// walkedGateway is API Gateway with the API's stage: it demands a signature, and makes an event of each request.
type walkedGateway struct {
	url  string
	curl string // folder of a .curlrc by which curl reaches it under every name
	ca   string // file
}

// reached is a URL of the deployment with the address at which this machine serves it.
func (w *walk) reached(address string) string {
	w.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		w.t.Error(err)
		return ""
	}
	if u.Hostname() == walker["NAME"] { // the load balancer: one host, found by its port
		_, port, _ := strings.Cut(w.host.front, ":")
		u.Host += ":" + port
		return u.String()
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(w.gateway.url, "https://"), ":")
	u.Host = "localhost:" + port
	return u.String()
}

func (w *walk) serveGateway() *walkedGateway {
	w.t.Helper()
	var one sync.Mutex // a function serves one request at a time
	canaryRole := canary
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if canaryRole.arn == "" {
			canaryRole.arn = "arn:aws:sts::" + motoAccount + ":assumed-role/" + w.resource("key", "CanaryRole") + "/canary"
		}
		by := caller(r, body, []principal{reader, canaryRole})
		path, ok := strings.CutPrefix(r.URL.Path, "/v1")
		if by == nil || !ok {
			rw.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rw, `{"message":"Missing Authentication Token"}`)
			return
		}
		event := restEvent(r.Method, path, by.arn, string(body))
		event["multiValueQueryStringParameters"] = map[string][]string(r.URL.Query())
		answer := w.function("api", "API_PARENT_URL").invoke(event)
		content := []byte(fmt.Sprint(answer["body"]))
		if answer["isBase64Encoded"] == true {
			content, _ = base64.StdEncoding.DecodeString(string(content))
		}
		rw.Header().Set("Content-Type", "application/json")
		status, _ := answer["statusCode"].(float64)
		rw.WriteHeader(int(status))
		_, _ = rw.Write(content)
	}))
	dir := w.t.TempDir()
	g := &walkedGateway{curl: dir, ca: filepath.Join(dir, "ca.pem")}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{gatewayCertificate(w.t, g.ca)}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	g.url = s.URL
	rc := "connect-to = \"::" + strings.TrimPrefix(s.URL, "https://") + "\"\ncacert = \"" + g.ca + "\"\n"
	if err := os.WriteFile(filepath.Join(dir, ".curlrc"), []byte(rc), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return g
}

// gatewayCertificate is one of API Gateway's names, in a file for those who trust it.
func gatewayCertificate(t *testing.T, file string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "API Gateway"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"*.execute-api." + region + ".amazonaws.com", "localhost"},
		IsCA:     true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

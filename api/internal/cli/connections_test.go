package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/auth"
	"redoubt/api/internal/httpapi"
	"redoubt/api/internal/vault"
	"redoubt/wire/kit/test/proctest"
)

func TestServeTakesANewConnectionInThePlaceOfAnIdleOne(t *testing.T) {
	a := apitest.New(t, func(_ *vault.Config, c *httpapi.Config) {
		c.Authenticators = []httpapi.Authenticator{anyBearer{}}
	})
	log := &proctest.Buffer{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	cmd := &Serve{
		Listen: "127.0.0.1:0", MetricsListen: "off", MaxConnections: 3, DrainTimeout: time.Second,
	}
	go func() {
		ended <- cmd.listen(ctx, &app{handler: a.Handler, metrics: a.Metrics}, slog.New(slog.NewTextHandler(log, nil)),
			&Server{bound: make(chan struct{})})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	address := addressIn(t, log)
	ask := func(c net.Conn, path string) {
		t.Helper()
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer b\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", r, err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
	}
	var idle []net.Conn
	for i := range 10 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
		if i == 0 {
			ask(c, "/v1/schema") // whose caller is known
		} else {
			ask(c, "/health")
		}
	}
	for _, c := range idle[1:8] {
		if n, err := c.Read(make([]byte, 1)); err == nil || n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a stranger's connection did not make room")
		}
	}
	ask(idle[0], "/v1/schema")
}

// anyBearer knows whoever sends a token.
type anyBearer struct{}

func (anyBearer) Authenticate(r *http.Request) (auth.Principal, bool, error) {
	return auth.Anonymous(), r.Header.Get("Authorization") != "", nil
}

var servingAt = regexp.MustCompile(`address=(\S+)`)

// addressIn waits until serve has logged where it serves.
func addressIn(t *testing.T, log *proctest.Buffer) string {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if m := servingAt.FindStringSubmatch(log.String()); m != nil {
			return m[1]
		}
	}
	t.Fatal("serve does not serve")
	return ""
}

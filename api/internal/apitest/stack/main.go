// Command stack serves the API on a free loopback port over the test's stand-in and parent (package apitest), prints
// its URL and runs until SIGTERM. It is for test scripts.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"redoubt/api/internal/apitest"
	"redoubt/api/internal/cli"
)

func main() { os.Exit(run()) }

func run() int {
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	s, err := apitest.StartStack(dir)
	if err != nil {
		return fail(err)
	}
	defer s.Close()
	for _, v := range s.Env() {
		name, value, _ := strings.Cut(v, "=")
		if err := os.Setenv(name, value); err != nil {
			return fail(err)
		}
	}
	address, err := free()
	if err != nil {
		return fail(err)
	}
	go announce("http://" + address)
	return cli.Main([]string{
		"serve", "--listen", address, "--metrics-listen", "off", "--suite", "P-256", "--log-level", "error",
		"--store", "bolt:" + filepath.Join(dir, "store.db"),
	}, "test", os.Stdin, os.Stdout, os.Stderr)
}

func fail(err error) int {
	slog.Error("the stack did not start", "error", err)
	return 1
}

// free finds a free port.
func free() (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// announce prints the URL once the server is ready.
func announce(url string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		resp, err := http.Get(url + "/ready") //nolint:noctx // the program ends otherwise
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			fmt.Fprintln(os.Stdout, url)
			return
		}
	}
}

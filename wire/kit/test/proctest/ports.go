package proctest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// Ports that FreePorts draws from.
const (
	first = 20_000
	ports = 10_000
	tries = 100
)

// ErrNoPort means that of many ports none was free.
var ErrNoPort = errors.New("no free port on loopback")

// FreePorts returns n different addresses of 127.0.0.1, "host:port", on which nobody listens, for programs that have to
// be told theirs.
//
// A port that the kernel picks for one program may be picked for another as soon as the first lets go of it, and the
// tests of several packages run at once. So these lie below what the kernel gives to programs that ask for any
// (ip_local_port_range, ip(7): 32768 and up), and are drawn at random. Another program may still take one before it is
// used; then the program that wanted it fails to listen.
func FreePorts(ctx context.Context, n int) ([]string, error) {
	var listener net.ListenConfig
	out := make([]string, 0, n)
	for range n + tries {
		if len(out) == n {
			return out, nil
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(ports))) //nolint:gosec // no secret
		if slices.Contains(out, address) {
			continue
		}
		ln, err := listener.Listen(ctx, "tcp", address)
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			return nil, fmt.Errorf("free port: %w", err)
		}
		out = append(out, address)
	}
	return nil, ErrNoPort
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// free tries every address before anything starts. Another stack that listens on one of them would answer for ours.
func (r *runCommand) free(ctx context.Context) error {
	var listener net.ListenConfig
	var taken []error
	for _, a := range []struct{ flag, address string }{
		{"--api", r.API},
		{"--api-metrics", r.APIMetrics},
		{"--parent", r.Parent},
		{"--parent-metrics", r.ParentMetrics},
		{"--kms", r.KMS},
		{"--kms-tls", r.KMSTLS},
	} {
		ln, err := listener.Listen(ctx, "tcp", a.address)
		if err != nil {
			taken = append(taken, fmt.Errorf("%s %s: %w", a.flag, a.address, err))
			continue
		}
		defer ln.Close() // not before all are tried: two flags may name one address
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("cannot listen; give other addresses, or --free-ports for any, or stop the other stack:\n%w",
		errors.Join(taken...))
}

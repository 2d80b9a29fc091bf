package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/test/proctest"
)

// TestRunTriesItsPortsBeforeAnythingStarts: an address that another program has, or that two flags name, is told with
// its flag and the way out, and nothing is made.
func TestRunTriesItsPortsBeforeAnythingStarts(t *testing.T) {
	var listener net.ListenConfig
	other, err := listener.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	free, err := proctest.FreePorts(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	for flag, address := range map[string]string{
		"--api": other.Addr().String(), "--parent": other.Addr().String(), "--kms-tls": other.Addr().String(),
		"--parent-metrics": free[0],
	} {
		state := filepath.Join(t.TempDir(), "state")
		addresses := map[string]string{
			"--api": free[0], "--parent": free[1], "--kms": free[2], "--kms-tls": free[3], "--api-metrics": free[4],
			"--parent-metrics": "127.0.0.1:0",
		}
		addresses[flag] = address
		args := []string{"run", "--bin", t.TempDir(), "--state", state}
		for name, value := range addresses {
			args = append(args, name+"="+value)
		}
		err := runArgs(t.Context(), args)
		if err == nil || !strings.Contains(err.Error(), flag+" "+address) || !strings.Contains(err.Error(), "--free-ports") {
			t.Errorf("%s: %v", flag, err)
		}
		if _, err := os.Stat(state); !os.IsNotExist(err) {
			t.Errorf("%s: something was started: %v", flag, err)
		}
	}
}

func runArgs(ctx context.Context, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // nothing should start; if it does, it ends
	defer cancel()
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return err
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run()
}

package pid1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"redoubt/wire/transport"
)

// devices are what the enclave opens after root is given up: the security module, and vsock's own device.
var devices = []string{"/dev/nsm", "/dev/vsock"}

// Boot does the rest once the security module is open: it credits entropy, reports to heartbeat (a vsock URL; empty
// for none) and drops privileges. Messages about a heartbeat that failed go to console.
func Boot(ctx context.Context, module Random, heartbeat string, console io.Writer) error {
	if err := SeedEntropy(module); err != nil {
		return err
	}
	if heartbeat != "" {
		dialer, err := transport.NewDialer(heartbeat)
		if err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		if err := Heartbeat(ctx, dialer.Dial); err != nil {
			fmt.Fprintln(console, "enclave:", err)
		}
	}
	var present []string
	for _, d := range devices {
		if _, err := os.Stat(d); err == nil {
			present = append(present, d)
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("drop privileges: %w", err)
		}
	}
	return DropPrivileges(present...)
}

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

// Boot does the rest once the security module is open: it seeds the kernel's random generator, drops privileges, and
// only then reports to heartbeat (a vsock URL; empty for none), whose echo is the first that is read from outside.
// Messages about a heartbeat that failed go to console. The caller MUST NOT make a key before Boot returns.
func Boot(ctx context.Context, module Random, heartbeat string, console io.Writer) error {
	m := machine{seed: SeedEntropy, drop: dropWithDevices, dial: transport.NewDialer}
	return m.boot(ctx, module, heartbeat, console)
}

// machine is what a boot acts on.
type machine struct {
	seed func(Random) error
	drop func() error
	dial func(url string) (*transport.Dialer, error)
}

func (m machine) boot(ctx context.Context, module Random, heartbeat string, console io.Writer) error {
	if err := m.seed(module); err != nil {
		return err
	}
	if err := m.drop(); err != nil {
		return err
	}
	if heartbeat == "" {
		return nil
	}
	dialer, err := m.dial(heartbeat)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	// nitro-cli does not look at the port, and a low one could not be bound any more.
	if err := Heartbeat(ctx, dialer.FromAnyPort().Dial); err != nil {
		fmt.Fprintln(console, "enclave:", err)
	}
	return nil
}

// dropWithDevices drops privileges and keeps the devices that the machine has.
func dropWithDevices() error {
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

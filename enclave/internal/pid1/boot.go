package pid1

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"redoubt/wire/transport"
)

// devices are what the enclave opens after root is given up: the security module, and vsock's own device.
var devices = []string{"/dev/nsm", "/dev/vsock"}

// Boot does the rest once the security module is open: it seeds the kernel's random generator, drops privileges, and
// only then reports to heartbeat (a vsock URL; empty for none), whose echo is the first that is read from outside.
// A heartbeat that failed is logged. The caller MUST NOT make a key before Boot returns.
func Boot(ctx context.Context, module Random, heartbeat string, log *slog.Logger) error {
	m := machine{seed: SeedEntropy, drop: dropWithDevices, dial: transport.NewDialer}
	return m.boot(ctx, module, heartbeat, log)
}

// machine is what a boot acts on.
type machine struct {
	seed func(Random) error
	drop func() error
	dial func(url string) (*transport.Dialer, error)
}

func (m machine) boot(ctx context.Context, module Random, heartbeat string, log *slog.Logger) error {
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
		log.Warn("nitro-cli was not told that the enclave has booted", slog.String("cause", err.Error()))
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

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

// Boot does what is left once the security module is open. It seeds the kernel's random generator, then drops
// privileges, and only then reports to heartbeat (a vsock URL; empty for none). The echo of the heartbeat is the
// first input that is read from outside. A heartbeat that failed is logged. The caller MUST NOT make a key before
// Boot returns.
func Boot(ctx context.Context, module Random, heartbeat string, log *slog.Logger) error {
	m := machine{seed: SeedEntropy, drop: dropWithDevices, dial: transport.NewDialer}
	return m.boot(ctx, module, heartbeat, log)
}

// machine holds the functions by which a boot acts on the machine.
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
	// nitro-cli does not check the port, and after root is given up a low port can no longer be bound.
	if err := Heartbeat(ctx, dialer.FromAnyPort().Dial); err != nil {
		log.Warn("nitro-cli was not told that the enclave has booted", slog.String("cause", err.Error()))
	}
	return nil
}

// dropWithDevices drops privileges and keeps access to those devices that the machine has.
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

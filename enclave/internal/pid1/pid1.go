// Package pid1 turns the bare machine that an enclave boots as into one on which the enclave can serve. It runs if
// the enclave is the first process of its image, and does the work of an init: mounts, kernel modules, entropy, the
// heartbeat that `nitro-cli run-enclave` waits for, and dropping privileges.
//
// Against a hostile parent: the kernel's random generator is reseeded from the Nitro Security Module before any key
// is made, so what the host feeds to the kernel cannot decide its output. The parent chooses only one input here, the
// byte that answers the heartbeat, and that is read after root is given up. (The clock's source and the kernel's
// entropy source are checked where the enclave's health is.)
//
// Every step either succeeds or ends the start with an error that names it, since an enclave that is half set up must
// not serve. There is no console outside debug mode. So the error is also returned: the process exits with it, and a
// missing heartbeat tells the host.
//
// Sources: random(4) for RNDADDENTROPY; drivers/char/random.c of Linux 6.12 for RNDRESEEDCRNG (since 4.17);
// finit_module(2); aws-nitro-enclaves-cli for the heartbeat (port 9000, 0xB7).
package pid1

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// These are the enclave's user and group after privileges are dropped. There is no /etc/passwd to look them up in.
const (
	UID = 10001
	GID = 10001
)

// Random fills p with random bytes of the security module.
type Random interface{ Random(p []byte) error }

// Active reports whether this process is the first of its machine.
func Active() bool { return os.Getpid() == 1 }

// Prepare mounts the kernel's file systems and loads the modules of the image, in the order of their names. It needs
// root and must run before anything touches /dev.
func Prepare() error {
	if err := mounts(); err != nil {
		return err
	}
	return loadModules("/modules")
}

type mount struct{ source, target, fstype string }

func mounts() error {
	const flags = unix.MS_NOSUID | unix.MS_NOEXEC
	for _, m := range []mount{{"devtmpfs", "/dev", "devtmpfs"}, {"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", m.target, err)
		}
		// EBUSY: the kernel has mounted its devtmpfs itself (CONFIG_DEVTMPFS_MOUNT).
		if err := unix.Mount(m.source, m.target, m.fstype, flags, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

func loadModules(dir string) error {
	names, err := moduleNames(os.DirFS(dir))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := loadModule(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("load module %s: %w", name, err)
		}
	}
	return nil
}

// moduleNames lists the modules of an image in load order. An image whose kernel has everything built in has none.
func moduleNames(dir fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".ko") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// heartbeatByte goes to the parent and comes back.
const heartbeatByte = 0xb7

// DefaultHeartbeatTimeout bounds the heartbeat. nitro-cli itself waits for minutes.
const DefaultHeartbeatTimeout = 10 * time.Second

var errNoEcho = errors.New("heartbeat: no echo")

// Dial opens a connection to the parent.
type Dial func(ctx context.Context) (net.Conn, error)

// Heartbeat tells `nitro-cli run-enclave`, which waits for it, that the enclave has booted: one byte to the parent
// and its echo. The caller should log an error, not stop for it: an enclave that was started by other means has no
// listener. A busy parent is asked again, since the kernel gives a connection over vsock two seconds.
func Heartbeat(ctx context.Context, dial Dial) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultHeartbeatTimeout)
	defer cancel()
	c, err := dial(ctx)
	for errors.Is(err, unix.ETIMEDOUT) && ctx.Err() == nil {
		c, err = dial(ctx)
	}
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	buf := []byte{heartbeatByte}
	if err := c.SetDeadline(deadline); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if _, err := c.Write(buf); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if n, err := c.Read(buf); n != 1 || buf[0] != heartbeatByte {
		return errors.Join(errNoEcho, err)
	}
	return nil
}

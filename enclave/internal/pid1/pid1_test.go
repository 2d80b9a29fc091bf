package pid1

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/program"
	"redoubt/wire/transport"
)

func TestModulesLoadInTheOrderOfTheirNamesAndNothingElseDoes(t *testing.T) {
	names, err := moduleNames(fstest.MapFS{
		"02-vsock.ko": {}, "00-virtio_mmio.ko": {}, "01-nsm.ko": {}, "README": {}, "sub/03-x.ko": {}, "04-x.ko.xz": {},
	})
	want := []string{"00-virtio_mmio.ko", "01-nsm.ko", "02-vsock.ko"}
	if err != nil || !slices.Equal(names, want) {
		t.Fatalf("got %v, %v", names, err)
	}
	if names, err := moduleNames(os.DirFS(filepath.Join(t.TempDir(), "none"))); err != nil || names != nil {
		t.Fatalf("an image without modules: %v, %v", names, err)
	}
}

type random func(p []byte) error

func (r random) Random(p []byte) error { return r(p) }

func TestEveryCreditedBitComesFromTheSecurityModule(t *testing.T) {
	pool, err := poolInfo(random(func(p []byte) error {
		for i := range p {
			p[i] = 0xa5
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	bits, size := binary.NativeEndian.Uint32(pool), binary.NativeEndian.Uint32(pool[4:])
	if int(size) != len(pool)-8 || bits != size*8 || slices.ContainsFunc(pool[8:], func(b byte) bool { return b != 0xa5 }) {
		t.Fatalf("%d bits credited for %d bytes of %d", bits, size, len(pool)-8)
	}
	failed := errors.New("module failed")
	if _, err := poolInfo(random(func([]byte) error { return failed })); !errors.Is(err, failed) {
		t.Fatalf("a failing module: %v", err)
	}
}

func TestHeartbeatWantsItsEcho(t *testing.T) {
	for name, tc := range map[string]struct {
		echo byte
		ok   bool
	}{"echo": {0xb7, true}, "other byte": {0xb8, false}} {
		ours, theirs := net.Pipe()
		go func() {
			b := make([]byte, 1)
			if _, err := theirs.Read(b); err == nil && b[0] == 0xb7 {
				_, _ = theirs.Write([]byte{tc.echo})
			}
			theirs.Close()
		}()
		err := Heartbeat(context.Background(), func(context.Context) (net.Conn, error) { return ours, nil })
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHeartbeatAsksABusyHostAgainAndNoOther(t *testing.T) {
	ours, theirs := net.Pipe()
	go func() { _, _ = io.CopyN(theirs, theirs, 1) }()
	busy := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", unix.ETIMEDOUT)}
	dials := 0
	err := Heartbeat(context.Background(), func(context.Context) (net.Conn, error) {
		if dials++; dials < 3 {
			return nil, busy
		}
		return ours, nil
	})
	if err != nil || dials != 3 {
		t.Errorf("%d dials, %v", dials, err)
	}
	refused := errors.New("refused")
	err = Heartbeat(context.Background(), func(context.Context) (net.Conn, error) { return nil, refused })
	if !errors.Is(err, refused) {
		t.Errorf("nobody listens: %v", err)
	}
}

// Since Linux 5.18 credited bytes wait in the pool until the next reseed, so a key made meanwhile would not have them.
func TestTheGeneratorIsReseededAfterItsPoolWasFed(t *testing.T) {
	full := random(func(p []byte) error {
		for i := range p {
			p[i] = 0xa5
		}
		return nil
	})
	var requests []uintptr
	var credited []byte
	err := seed(full, func(request uintptr, arg []byte) error {
		requests, credited = append(requests, request), append(credited, arg...)
		return nil
	})
	if err != nil || !slices.Equal(requests, []uintptr{rndAddEntropy, rndReseedCRNG}) {
		t.Fatalf("%x, %v", requests, err)
	}
	if len(credited) != 8+entropySize || credited[8] != 0xa5 {
		t.Errorf("%d bytes credited", len(credited))
	}
	for _, failing := range []uintptr{rndAddEntropy, rndReseedCRNG} {
		err := seed(full, func(request uintptr, _ []byte) error {
			if request == failing {
				return unix.EPERM
			}
			return nil
		})
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("request %x fails: %v", failing, err)
		}
	}
}

// The heartbeat's echo is the first byte from outside: root reads none of it.
func TestPrivilegesAreDroppedBeforeAnythingComesFromOutside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var mu sync.Mutex
	var steps []string
	step := func(s string) error {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, s)
		return nil
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = step("heartbeat")
		_, _ = io.CopyN(c, c, 1)
	}()
	m := machine{
		seed: func(Random) error { return step("seed") }, drop: func() error { return step("drop") },
		dial: transport.NewDialer,
	}
	var console strings.Builder
	log := program.NewLogger(&console, slog.LevelInfo)
	if err := m.boot(t.Context(), nil, "unix://"+path, log); err != nil || console.Len() != 0 {
		t.Fatal(err, console.String())
	}
	if want := []string{"seed", "drop", "heartbeat"}; !slices.Equal(steps, want) {
		t.Errorf("%v, want %v", steps, want)
	}
	failed := errors.New("failed")
	m.drop = func() error { return failed }
	if err := m.boot(t.Context(), nil, "unix://"+path+".none", log); !errors.Is(err, failed) || console.Len() != 0 {
		t.Errorf("privileges kept: %v, %q", err, console.String())
	}
}

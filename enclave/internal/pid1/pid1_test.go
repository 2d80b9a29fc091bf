package pid1

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
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

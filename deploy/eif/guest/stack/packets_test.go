//go:build guest

package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"redoubt/wire"
	"redoubt/wire/transport"
)

// packets counts the packets that the kernel makes of writes to vsock sockets, whoever writes and by whatever call. A
// write of up to 64 KiB is one packet, so a packet over 31 KiB is a write over 31 KiB.
type packets struct{ dir string }

// vsockEvent is the kernel's tracepoint in vmw_vsock_virtio_transport_common, which all of virtio's transports share.
const vsockEvent = "events/vsock/virtio_transport_alloc_pkt"

var packetLength = regexp.MustCompile(` len=(\d+)`)

// tracePackets records packets of more than over bytes from now on, in a trace of its own.
func tracePackets(t *testing.T, over int) *packets {
	t.Helper()
	p := &packets{filepath.Join("/sys/kernel/tracing/instances", fmt.Sprintf("over%d-%d", over, time.Now().UnixNano()))}
	err := errors.Join(os.Mkdir(p.dir, 0o755), p.set("buffer_size_kb", "4096"),
		p.set(vsockEvent+"/filter", fmt.Sprintf("len > %d", over)), p.set(vsockEvent+"/enable", "1"))
	if err != nil {
		t.Fatalf("the kernel does not trace vsock: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(p.dir) })
	return p
}

func (p *packets) set(file, value string) error {
	return os.WriteFile(filepath.Join(p.dir, file), []byte(value), 0o644)
}

// seen is how many packets were recorded and the length of the longest, bytes.
func (p *packets) seen(t *testing.T) (count, longest int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "trace"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range packetLength.FindAllSubmatch(text, -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		count, longest = count+1, max(longest, n)
	}
	return count, longest
}

// writeOnce sends n bytes to a listener of its own by one write.
func writeOnce(t *testing.T, n int) {
	t.Helper()
	l, err := transport.Listen("vsock://any:7001", transport.ListenConfig{AllowedCIDs: []uint32{cid}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer c.Close()
		read, _ := io.Copy(io.Discard, c)
		got <- read
	}()
	c := dialVsock(t, 7001)
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if read := <-got; read != int64(n) {
		t.Fatalf("%d bytes of %d arrived", read, n)
	}
}

func dialVsock(t *testing.T, port int) net.Conn {
	t.Helper()
	d, err := transport.NewDialer(fmt.Sprintf("vsock://%d:%d", cid, port))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := d.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGuestTracerSeesWhoBreaksTheWriteRule shows that the count of the stack's test can fail.
func TestGuestTracerSeesWhoBreaksTheWriteRule(t *testing.T) {
	p := tracePackets(t, wire.MaxWrite)
	writeOnce(t, wire.MaxWrite)
	if n, longest := p.seen(t); n != 0 {
		t.Fatalf("a write of %d bytes was recorded as %d packets of up to %d bytes", wire.MaxWrite, n, longest)
	}
	writeOnce(t, 64<<10)
	if n, longest := p.seen(t); n == 0 {
		t.Fatalf("a write of 64 KiB was not seen (longest %d)", longest)
	}
}

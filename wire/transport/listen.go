package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"
	"time"
)

// ListenConfig says who may connect.
type ListenConfig struct {
	// AllowedCIDs are the only peers whose vsock connections Accept returns; others are closed at once. It must not
	// be empty for vsock. The other transports ignore it: there the file's permissions, 0600, decide.
	AllowedCIDs []uint32
	// AnyPort accepts peers whose vsock port is above 1023 too. Without it they are closed at once: any process of the
	// parent's host could be such a peer.
	AnyPort bool
	// OnRefused is called for each peer that was refused. May be nil.
	OnRefused func(Refusal)
}

// Refusal is a vsock peer that was closed unread. If its address is not a vsock address, both numbers are the
// highest.
type Refusal struct {
	CID, Port uint32
	// Unprivileged: the context id may connect, but not from a port above 1023.
	Unprivileged bool
}

// Listener accepts connections on one address. It implements net.Listener.
type Listener struct {
	url  string
	path string // path of the socket file, if there is one
	cfg  ListenConfig
	vs   bool
	net.Listener
}

// Listen listens on a URL (the listening side of hybrid is a unix socket at path_N). A stale socket file is replaced.
// Errors: ErrURL, ErrAllowList, ErrInUse, ErrNotSocket, or the system's.
func Listen(rawURL string, cfg ListenConfig) (*Listener, error) {
	a, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	cfg.AllowedCIDs = slices.Clone(cfg.AllowedCIDs)
	l := &Listener{url: rawURL, cfg: cfg}
	if a.scheme != schemeVsock {
		l.path = a.listenPath()
		l.Listener, err = listenUnix(l.path)
		return l, err
	}
	if len(cfg.AllowedCIDs) == 0 {
		return nil, ErrAllowList
	}
	l.vs = true
	l.Listener, err = listenVsock(a.cid, a.port)
	if err != nil {
		return nil, fmt.Errorf("listen for the parent: %w", err)
	}
	return l, nil
}

// Accept returns the next connection from an allowed peer.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, fmt.Errorf("accept: %w", err)
		}
		if !l.vs || l.allowed(c.RemoteAddr()) {
			return c, nil
		}
		_ = c.Close() // a refused peer is not read
	}
}

// allowed fails closed: an address that is not a vsock address is not allowed.
func (l *Listener) allowed(addr net.Addr) bool {
	r := Refusal{CID: cidAny, Port: cidAny}
	if cid, port, ok := vsockPeer(addr); ok {
		r.CID, r.Port = cid, port
		if slices.Contains(l.cfg.AllowedCIDs, cid) {
			if port <= maxPrivileged || l.cfg.AnyPort {
				return true
			}
			r.Unprivileged = true
		}
	}
	if l.cfg.OnRefused != nil {
		l.cfg.OnRefused(r)
	}
	return false
}

// Close stops listening and removes the socket file.
func (l *Listener) Close() error { return l.Listener.Close() }

// String returns the URL.
func (l *Listener) String() string { return l.url }

func listenUnix(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// On Linux the mode of the socket before it is bound becomes the file's. So there is no moment at which others
	// could connect, and no need to change the process's umask.
	lc := net.ListenConfig{Control: ownersOnly}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for the parent: %w", err)
	}
	return l, nil
}

// staleTimeout bounds the attempt to reach a listener that may not be there.
const staleTimeout = time.Second

// removeStale removes a socket file on which no process listens.
func removeStale(path string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect socket: %w", err)
	}
	if fi.Mode().Type() != fs.ModeSocket {
		return ErrNotSocket
	}
	ctx, cancel := context.WithTimeout(context.Background(), staleTimeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(ErrInUse, c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

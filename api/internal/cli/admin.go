package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"redoubt/api/internal/store/bolt"
)

const (
	// maxSocketPath is the longest name of a unix socket.
	maxSocketPath = 107
	// adminStall is how long the sender or the receiver of a backup may stand still. A transfer that moves may take
	// as long as it needs.
	adminStall = 30 * time.Second
	// headerStore identifies the file of the server's store.
	headerStore = "Redoubt-Store"
	// headerPart says which part of the store a backup is; a store without keys answers that with partNone.
	headerPart = "Redoubt-Part"
	// headerWhy is there if a backup was refused because its keys are in a file of their own.
	headerWhy = "Redoubt-Why"
	keysApart = "keys-apart"
)

// adminPath is the socket of the store at path.
func adminPath(flag, path string) string {
	switch {
	case flag == "off", path == "":
		return ""
	case flag != "":
		return flag
	}
	return path + ".sock"
}

// admin serves backup, restore and operations on a unix socket that only the server's user can open.
func (cmd *Serve) admin(ctx context.Context, a *app, log *slog.Logger) (stop func(), err error) {
	file, ok := a.store.(*bolt.Store)
	path := adminPath(cmd.Admin, cmd.boltPath())
	if !ok || path == "" {
		return func() {}, nil
	}
	if len(path) > maxSocketPath {
		return nil, hint(fmt.Errorf("socket name %s is too long", path), "name a shorter one with --admin, or --admin off")
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	old := syscall.Umask(0o177)
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		Handler: adminHandler(file, a.vault.Replace, a.operator, adminStall, log), ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
	go func() { _ = s.Serve(l) }()
	return func() { _ = s.Close() }, nil // the process ends; closing removes the socket
}

// removeSocket removes the socket of a dead server. This process holds the store's lock, so no live server has it.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return hint(fmt.Errorf("%s exists and is not a socket", path), "name another file with --admin, or --admin off")
	}
	return os.Remove(path)
}

// adminHandler serves backup and restore of the store's file, and operations. around runs the swap of a restore.
func adminHandler(file *bolt.Store, around func(func() error) error, o *operator, stall time.Duration,
	log *slog.Logger,
) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /operate", operate(o, log))
	mux.HandleFunc("GET /backup", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(headerStore, file.Identity())
		take, part, err := copying(file, r.URL.Query().Get("part"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set(headerPart, part)
		n, err := take(&moving{w: w, limit: stall, deadline: http.NewResponseController(w).SetWriteDeadline})
		log.Info("backup", "part", part, "bytes", n, "ok", err == nil)
		switch {
		case err != nil && n == 0:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		case err != nil:
			panic(http.ErrAbortHandler) // the reader must not take a cut copy for a complete one
		}
	})
	mux.HandleFunc("POST /restore", func(w http.ResponseWriter, r *http.Request) {
		in := &moving{r: r.Body, limit: stall, deadline: http.NewResponseController(w).SetReadDeadline}
		err := file.Restore(in, around)
		log.Info("restore", "ok", err == nil)
		if errors.Is(err, bolt.ErrKeysApart) {
			w.Header().Set(headerWhy, keysApart)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		}
	})
	return mux
}

// moving is a body that must keep moving: each read or write has a time limit of its own.
type moving struct {
	r        io.Reader
	w        io.Writer
	limit    time.Duration
	deadline func(time.Time) error
}

func (m *moving) Read(p []byte) (int, error) {
	if err := m.deadline(time.Now().Add(m.limit)); err != nil {
		return 0, err
	}
	return m.r.Read(p)
}

func (m *moving) Write(p []byte) (int, error) {
	if err := m.deadline(time.Now().Add(m.limit)); err != nil {
		return 0, err
	}
	return m.w.Write(p)
}

// adminCall calls the server of the store, or returns errNotServing. The caller closes the answer's body.
func adminCall(ctx context.Context, socket, method, route string, body io.Reader) (*http.Response, error) {
	if socket == "" {
		return nil, errNotServing
	}
	c := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin"+route, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, errNotServing
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		_ = resp.Body.Close()
		if resp.Header.Get(headerWhy) == keysApart {
			return nil, bolt.ErrKeysApart
		}
		return nil, fmt.Errorf("the server refused: %s", text)
	}
	return resp, nil
}

var errNotServing = errors.New("no server has the store open")

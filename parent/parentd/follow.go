package parentd

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"redoubt/parent/internal/front"
)

// followEvery is how often files are checked. Polling also notices files that are replaced through a symbolic link.
const followEvery = 2 * time.Second

// reloader loads something again when its files change.
type reloader struct {
	what  string
	files []string
	load  func() error
	last  []stamp
	stale atomic.Bool // the files have changed and could not be loaded
}

// stamp distinguishes versions of a file.
type stamp struct {
	mod  time.Time
	size int64
	mode fs.FileMode
}

func stamps(files []string) []stamp {
	out := make([]stamp, len(files))
	for i, name := range files {
		if info, err := os.Stat(name); err == nil {
			out[i] = stamp{info.ModTime(), info.Size(), info.Mode()}
		}
	}
	return out
}

// follow loads now, and again whenever one of files changes. If that fails later, what is loaded stays.
func (a *Parent) follow(what string, files []string, load func() error) error {
	last := stamps(files)
	if err := load(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	a.reload = append(a.reload, &reloader{what: what, files: files, load: load, last: last})
	return nil
}

// watchFiles checks all followed files until ctx ends.
func (a *Parent) watchFiles(ctx context.Context) {
	if len(a.reload) == 0 {
		return
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, r := range a.reload {
			r.look(a.log)
		}
	}
}

// stale counts the followed things that could not be loaded when they last changed.
func (a *Parent) stale() (n float64) {
	for _, r := range a.reload {
		n += boolean(r.stale.Load())
	}
	return n
}

func (r *reloader) look(log *slog.Logger) {
	now := stamps(r.files)
	same := true
	for i := range now {
		same = same && now[i] == r.last[i]
	}
	if same {
		return
	}
	r.last = now
	err := r.load()
	r.stale.Store(err != nil)
	if err != nil {
		log.Error("cannot load a changed file; the old content stays", slog.String("what", r.what),
			slog.String("cause", err.Error()))
		return
	}
	log.Info("loaded a changed file", slog.String("what", r.what))
}

// loadKeys reads the file of API keys.
func loadKeys(auth *front.Auth, file string) func() error {
	return func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return auth.Load(bytes.NewReader(b))
	}
}

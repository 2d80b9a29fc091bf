package server

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"redoubt/wire"
	"redoubt/wire/kit/program"
	"redoubt/wire/session"
)

// Logs sends static texts and numbers to a parent, and to the console, which exists only in debug mode. Its rate is
// bounded, and entries beyond it are counted. An attribute that is not a number is left out.
type Logs struct {
	limit   *rate.Limiter
	console slog.Handler
	dropped atomic.Int64

	mu       sync.Mutex
	sessions []*session.Server
}

// NewLogs makes the enclave's log, with at most perSecond entries a second. console may be nil.
func NewLogs(perSecond int, console io.Writer) *Logs {
	l := &Logs{limit: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond)}
	if console != nil {
		l.console = program.NewHandler(console, slog.LevelInfo)
	}
	return l
}

// Logger returns the logger that writes to l.
func (l *Logs) Logger() *slog.Logger { return slog.New(handler{logs: l}) }

// Dropped returns how many entries exceeded the rate or found no parent.
func (l *Logs) Dropped() int64 { return l.dropped.Load() }

func (l *Logs) add(s *session.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = append(l.sessions, s)
}

func (l *Logs) remove(s *session.Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = slices.DeleteFunc(l.sessions, func(x *session.Server) bool { return x == s })
}

// send gives an entry to the newest session, which is the least likely to be ending.
func (l *Logs) send(ctx context.Context, m *wire.Log) {
	if !l.limit.Allow() {
		l.dropped.Add(1)
		return
	}
	if l.console != nil {
		r := slog.NewRecord(time.UnixMilli(m.TimeMS), slogLevel(m.Level), string(m.Text), 0)
		for _, n := range m.Numbers {
			r.AddAttrs(slog.Int64(string(n.Key), n.Value))
		}
		_ = l.console.Handle(ctx, r) // a console that fails cannot be reported to anybody
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sessions) == 0 {
		l.dropped.Add(1)
		return
	}
	l.sessions[len(l.sessions)-1].Log(m)
}

// handler is the slog.Handler over Logs.
type handler struct {
	logs  *Logs
	attrs []slog.Attr
}

func (handler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	m := wire.Log{Level: wireLevel(r.Level), TimeMS: r.Time.UnixMilli(), Text: []byte(r.Message)}
	if len(m.Text) > wire.MaxLogText {
		m.Text = m.Text[:wire.MaxLogText]
	}
	add := func(a slog.Attr) bool {
		key := a.Key
		if a.Value.Kind() == slog.KindDuration {
			key = program.DurationKey(key)
		}
		if v, ok := number(a.Value); ok && len(m.Numbers) < wire.MaxLogNumbers && len(key) <= wire.MaxLogKey {
			m.Numbers = append(m.Numbers, wire.LogNumber{Key: []byte(key), Value: v})
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.logs.send(ctx, &m)
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{logs: h.logs, attrs: append(slices.Clone(h.attrs), attrs...)}
}

// WithGroup implements slog.Handler; names are flat.
func (h handler) WithGroup(string) slog.Handler { return h }

// number returns the value of an attribute that is a number, a duration (in milliseconds) or a truth value.
func number(v slog.Value) (int64, bool) {
	switch v = v.Resolve(); v.Kind() {
	case slog.KindInt64:
		return v.Int64(), true
	case slog.KindUint64:
		return int64(v.Uint64()), true
	case slog.KindDuration:
		return v.Duration().Milliseconds(), true
	case slog.KindBool:
		if v.Bool() {
			return 1, true
		}
		return 0, true
	default:
		return 0, false
	}
}

func wireLevel(l slog.Level) wire.Level {
	switch {
	case l >= slog.LevelError:
		return wire.LevelError
	case l >= slog.LevelWarn:
		return wire.LevelWarn
	case l >= slog.LevelInfo:
		return wire.LevelInfo
	}
	return wire.LevelDebug
}

func slogLevel(l wire.Level) slog.Level {
	return [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}[min(l, wire.LevelError)]
}

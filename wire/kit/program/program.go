// Package program holds what all programs have in common for the people who run them: the exit statuses, the version
// line, the words for a mistake on the command line, and the form of a log.
//
// A log is JSON, one object a line. Every duration in it is a number of milliseconds whose key ends in _ms.
// [NewHandler] ensures that, so a program MUST make its log with it. A test looks for other handlers.
package program

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"time"
)

// Exit statuses. 0 also ends --help and --version.
const (
	OK     = 0
	Failed = 1
	Usage  = 2 // a mistake on the command line, or in the variables that stand for flags
	Unsure = 3 // no verdict: the command could not ask what it needed for its judgement
)

// Version is what --version prints: redoubt-parent v1.2.3 go1.26.0.
func Version(name, version string) string {
	return fmt.Sprintf("redoubt-%s %s %s", name, version, runtime.Version())
}

// Misused reports a mistake on the command line and returns [Usage].
func Misused(w io.Writer, name string, err error) int {
	fmt.Fprintf(w, "%s: %v\nTry: %s --help\n", name, err, name)
	return Usage
}

// mistake is an error of the command line that is found only after the line was read.
type mistake string

func (m mistake) Error() string { return string(m) }

// Mistake makes an error that [Fail] reports as [Misused] does: flags that contradict one another, a value out of
// range.
func Mistake(text string) error { return mistake(text) }

// Fail reports a failure and returns [Failed].
func Fail(w io.Writer, name string, err error) int {
	if m := mistake(""); errors.As(err, &m) {
		return Misused(w, name, err)
	}
	fmt.Fprintf(w, "%s: %v\n", name, err)
	return Failed
}

// NewLogger makes the log of a program.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger { return slog.New(NewHandler(w, level)) }

// NewHandler writes log records to w in the form that the package describes.
func NewHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return handler{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})}
}

// handler gives durations their unit. The JSON handler's ReplaceAttr could do so too, but it is called for every
// attribute, time and message included, which takes as long as the rest of a line.
type handler struct{ slog.Handler }

// Handle writes a record. A record without durations, which [Duration] has turned into numbers, is written as it is.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	plain := true
	r.Attrs(func(a slog.Attr) bool {
		plain = !timed(a.Value)
		return plain
	})
	if plain {
		return h.Handler.Handle(ctx, r)
	}
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(unit(a))
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(units(attrs))}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

// timed reports whether a value is a duration, or may hold one.
func timed(v slog.Value) bool {
	switch v.Kind() {
	case slog.KindDuration, slog.KindGroup, slog.KindLogValuer:
		return true
	}
	return false
}

func unit(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindDuration:
		return Duration(a.Key, a.Value.Duration())
	case slog.KindGroup:
		a.Value = slog.GroupValue(units(a.Value.Group())...)
	}
	return a
}

func units(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = unit(a)
	}
	return out
}

// DurationKey is the key under which a log holds a duration.
func DurationKey(key string) string { return strings.TrimSuffix(key, durationSuffix) + durationSuffix }

const durationSuffix = "_ms"

// Duration is the attribute for a duration in a log: milliseconds, with a resolution of a microsecond.
func Duration(key string, d time.Duration) slog.Attr {
	return slog.Float64(DurationKey(key), float64(d.Round(time.Microsecond))/float64(time.Millisecond))
}

// MaxWait is the longest waiting time that a flag may name.
const MaxWait = time.Hour

// Within reports whether v lies between low and high, both inclusive. Every number that a flag, a variable, a file or
// a query names MUST be checked by it. NaN fails every comparison. So a check for too small or too large values lets
// NaN through; Within does not.
func Within[T cmp.Ordered](v, low, high T) bool { return v >= low && v <= high }

// Range returns a [Mistake] that names the bounds if v is not [Within] them.
func Range[T cmp.Ordered](name string, v, low, high T) error {
	if Within(v, low, high) {
		return nil
	}
	return Mistake(fmt.Sprintf("%s must be %v to %v", name, low, high))
}

// Package program holds what all programs have in common for those who run them: the exit statuses, the version line,
// the words for a mistake on the command line, and the form of a log.
//
// A log is JSON, one object a line. Every duration in it is a number of milliseconds whose key ends in _ms.
// [NewHandler] sees to that, so a program MUST make its log with it; a test looks for other handlers.
package program

import (
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
)

// Version is what --version prints: redoubt-parent v1.2.3 go1.26.0.
func Version(name, version string) string {
	return fmt.Sprintf("redoubt-%s %s %s", name, version, runtime.Version())
}

// Misused tells of a mistake on the command line and returns [Usage].
func Misused(w io.Writer, name string, err error) int {
	fmt.Fprintf(w, "%s: %v\nTry: %s --help\n", name, err, name)
	return Usage
}

// mistake is an error of the command line that shows only after it was read.
type mistake string

func (m mistake) Error() string { return string(m) }

// Mistake makes an error that [Fail] tells as [Misused] does: flags that contradict one another, a value out of range.
func Mistake(text string) error { return mistake(text) }

// Fail tells of a failure and returns [Failed].
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
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: unit})
}

func unit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return Duration(a.Key, a.Value.Duration())
	}
	return a
}

// DurationKey is the key under which a log tells a duration.
func DurationKey(key string) string { return strings.TrimSuffix(key, durationSuffix) + durationSuffix }

const durationSuffix = "_ms"

// Duration is the attribute that a log tells a duration by: milliseconds, down to a microsecond.
func Duration(key string, d time.Duration) slog.Attr {
	return slog.Float64(DurationKey(key), float64(d.Round(time.Microsecond))/float64(time.Millisecond))
}

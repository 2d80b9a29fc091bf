package peers

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"redoubt/bench/internal/measure"
)

// side is a program that answers: ours or another library's.
type side struct {
	name string
	ours bool
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// start starts a side's program. It ends when its standard input does.
func start(ctx context.Context, name string, ours bool, program string, args ...string) (*side, error) {
	s := &side{name: name, ours: ours, cmd: exec.CommandContext(ctx, program, args...)}
	s.cmd.Env = append(os.Environ(), measure.ChildVariable+"="+Role)
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w: make bench-peers builds it", name, err)
	}
	return s, nil
}

func (s *side) close() error { return errors.Join(s.in.Close(), s.cmd.Wait()) }

// ask asks one question. Error: errAbsent, wrapped, for a scheme that the side has not.
func (s *side) ask(words ...string) (string, error) {
	if _, err := io.WriteString(s.in, strings.Join(words, " ")+"\n"); err != nil {
		return "", fmt.Errorf("%s: %w", s.name, err)
	}
	line, err := s.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s: %w", s.name, err)
	}
	text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "ok ")
	switch {
	case ok:
		return text, nil
	case line == "no absent\n":
		return "", fmt.Errorf("%s: %w", s.name, errAbsent)
	}
	return "", fmt.Errorf("%s: %.80q: %s", s.name, words, strings.TrimSpace(line))
}

// took asks how long n repetitions take, and returns microseconds for one.
func (s *side) took(scheme, what string, n int) (float64, error) {
	answer, err := s.ask("time", scheme, what, strconv.Itoa(n))
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(answer, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.name, err)
	}
	return float64(ns) / 1e3 / float64(n), nil
}

// errDiffers reports that two sides do not compute the same.
var errDiffers = errors.New("the two sides do not compute the same")

// cross has a and b exchange keys, and each open what the other made. It leaves both ready to repeat that.
func cross(scheme string, a, b *side) error {
	for _, way := range [][2]*side{{a, b}, {b, a}} {
		public, err := way[0].ask("public", scheme)
		if err != nil {
			return err
		}
		if _, err := way[1].ask("meet", scheme, public); err != nil {
			return err
		}
	}
	if strings.HasPrefix(scheme, ecdhPrefix) {
		x, err := a.ask("make", scheme)
		if err != nil {
			return err
		}
		if y, err := b.ask("make", scheme); err != nil || x != y || x == "" {
			return fmt.Errorf("%s: %s and %s: %w", scheme, a.name, b.name, errors.Join(errDiffers, err))
		}
		return nil
	}
	return errors.Join(sends(scheme, a, b), sends(scheme, b, a))
}

// sends checks that what one side makes is opened by the other.
func sends(scheme string, from, to *side) error {
	message, err := from.ask("make", scheme)
	if err != nil {
		return err
	}
	want := []byte(text)
	if scheme == oaep {
		want = contentKey
	}
	if got, err := to.ask("open", scheme, message); err != nil || got != hex.EncodeToString(want) {
		return fmt.Errorf("%s: from %s to %s: %w", scheme, from.name, to.name, errors.Join(errDiffers, err))
	}
	return nil
}

package peers

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"redoubt/wire/kit/sealed"
)

// Role is the role of a child that is our side (package measure): [Serve].
const Role = "peer"

// errQuestion reports a question that is none of those that bench/peers/src/main.rs lists.
var errQuestion = errors.New("no such question")

// known is a scheme that was asked for, and the last message that it opened.
type known struct {
	scheme
	message []byte
}

// Serve answers questions line by line, as the programs of bench/peers do, until in ends.
func Serve(in io.Reader, out io.Writer) error {
	all := make(map[string]*known)
	s := bufio.NewScanner(in)
	for s.Scan() {
		text, err := answer(all, strings.Split(s.Text(), " "))
		if err != nil {
			_, err = fmt.Fprintf(out, "no %v\n", err)
		} else {
			_, err = fmt.Fprintf(out, "ok %s\n", text)
		}
		if err != nil {
			return err
		}
	}
	return s.Err()
}

func answer(all map[string]*known, words []string) (string, error) {
	if len(words) == 1 && words[0] == "about" {
		return about(), nil
	}
	if len(words) < 2 {
		return "", errQuestion
	}
	k := all[words[1]]
	if k == nil {
		s, err := newScheme(words[1])
		if err != nil {
			return "", err
		}
		k = &known{scheme: s}
		all[words[1]] = k
	}
	return k.answer(words[0], words[2:])
}

func (k *known) answer(question string, args []string) (string, error) {
	switch {
	case question == "public" && len(args) == 0:
		b, err := k.public()
		return hex.EncodeToString(b), err
	case question == "meet" && len(args) == 1:
		b, err := hex.DecodeString(args[0])
		if err != nil {
			return "", err
		}
		return "", k.meet(b)
	case question == "make" && len(args) == 0:
		b, err := k.make()
		return hex.EncodeToString(b), err
	case question == "open" && len(args) == 1:
		var err error
		if k.message, err = hex.DecodeString(args[0]); err != nil {
			return "", err
		}
		b, err := k.open(k.message)
		return hex.EncodeToString(b), err
	case question == "time" && len(args) == 2:
		return k.time(args[0], args[1])
	}
	return "", errQuestion
}

// time repeats what was done last, and returns the process's CPU time for it: the collector's share is in it.
func (k *known) time(what, times string) (string, error) {
	n, err := strconv.Atoi(times)
	if err != nil {
		return "", err
	}
	do := k.make
	switch what {
	case opOpen:
		do = func() ([]byte, error) { return k.open(k.message) }
	case opReadOpen:
		do = func() ([]byte, error) { return k.readOpen() }
	}
	before, err := processTime()
	if err != nil {
		return "", err
	}
	for range n {
		if _, err := do(); err != nil {
			return "", err
		}
	}
	after, err := processTime()
	return strconv.FormatInt(after-before, 10), err
}

// readOpen reads the private key, too.
func (k *known) readOpen() ([]byte, error) {
	f, ok := k.scheme.(*field)
	if !ok {
		return nil, errAbsent
	}
	fresh := *f
	var err error
	if fresh.own, err = sealed.ParsePrivateKey(f.own.Suite(), f.der); err != nil {
		return nil, err
	}
	defer fresh.own.Destroy()
	return fresh.open(k.message)
}

func processTime() (int64, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
	return ts.Nano(), err
}

// about says what this build is made of.
func about() string {
	code := "crypto/ecdh alone"
	if suites := sealed.MachineCode(); len(suites) > 0 {
		code = fmt.Sprintf("machine code for %v", suites)
	}
	if strings.Contains(runtime.Version(), "X:runtimesecret") {
		code += ", erasing"
	}
	return runtime.Version() + ", " + code
}

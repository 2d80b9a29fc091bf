package main

import (
	"bufio"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A line of objdump: address, mnemonic, operands. What follows an operand is its name for it.
var instruction = regexp.MustCompile(`^ *([0-9a-f]+):\t(\S+) *([^</]*)`)

// The instructions that move the stack pointer, with what they take (the first group, or a word).
var (
	takes = map[string]*regexp.Regexp{
		"amd64": regexp.MustCompile(`^(?:sub \$0x([0-9a-f]+),%rsp|push .*())$`),
		"arm64": regexp.MustCompile(`^(?:sub sp, sp, #0x([0-9a-f]+)|st[rp] .*\[sp, #-([0-9]+)\]!)$`),
	}
	gives = map[string]*regexp.Regexp{
		"amd64": regexp.MustCompile(`^(?:add \$0x([0-9a-f]+),%rsp|pop .*())$`),
		"arm64": regexp.MustCompile(`^(?:add sp, sp, #0x([0-9a-f]+)|ld[rp] .*\[sp\], #([0-9]+))$`),
	}
	calls = map[string]*regexp.Regexp{
		"amd64": regexp.MustCompile(`^callq? ([0-9a-f]+)$`),
		"arm64": regexp.MustCompile(`^bl ([0-9a-f]+)$`),
	}
	// names tells the instructions that name the stack pointer as a destination: one that is none of the above is not
	// understood.
	names = map[string]*regexp.Regexp{
		"amd64": regexp.MustCompile(`,%rsp$`),
		"arm64": regexp.MustCompile(`^\w+ sp,`),
	}
	returns = regexp.MustCompile(`^retq?$`)
)

// routine is code from an entry to its return.
type routine struct {
	most  int64           // bytes of the stack that it takes by itself
	calls map[int64]int64 // what it has taken when it calls another, by the other's address
}

// depth returns how many bytes of the stack the first routine of a listing takes, with the routines that it calls. It
// relies on what the sources do: routines follow each other, each ends with its only return, and branches stay within
// a routine at the same depth.
func depth(arch, listing string) (int, error) {
	all := map[int64]*routine{}
	word := map[string]int64{"amd64": 8}[arch] // a call pushes the return address
	var (
		at    *routine
		taken int64
	)
	lines := bufio.NewScanner(strings.NewReader(listing))
	for lines.Scan() {
		m := instruction.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		address, err := strconv.ParseInt(m[1], 16, 64)
		if err != nil {
			return 0, err
		}
		if at == nil {
			at, taken = &routine{calls: map[int64]int64{}}, word
			all[address] = at
		}
		text := strings.TrimSpace(m[2] + " " + strings.TrimSpace(m[3]))
		switch {
		case takes[arch].MatchString(text):
			taken += amount(takes[arch].FindStringSubmatch(text))
		case gives[arch].MatchString(text):
			taken -= amount(gives[arch].FindStringSubmatch(text))
		case calls[arch].MatchString(text):
			target, err := strconv.ParseInt(calls[arch].FindStringSubmatch(text)[1], 16, 64)
			if err != nil {
				return 0, err
			}
			at.calls[target] = max(at.calls[target], taken)
		case returns.MatchString(text):
			if taken != word {
				return 0, fmt.Errorf("at %s it returns with %d bytes on the stack", m[1], taken-word)
			}
			at = nil
			continue
		case names[arch].MatchString(text):
			return 0, fmt.Errorf("at %s the stack pointer changes in a way that is not understood: %s", m[1], text)
		}
		at.most = max(at.most, taken)
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	n, err := deepest(all, 0, 0)
	return int(n), err
}

func amount(m []string) int64 {
	switch {
	case m[1] != "":
		n, _ := strconv.ParseInt(m[1], 16, 64)
		return n
	case m[2] != "":
		n, _ := strconv.ParseInt(m[2], 10, 64)
		return n
	}
	return 8
}

func deepest(all map[int64]*routine, address int64, nested int) (int64, error) {
	r := all[address]
	if r == nil || nested > len(all) {
		return 0, errors.New("its calls are not understood")
	}
	most := r.most
	for target, taken := range r.calls {
		n, err := deepest(all, target, nested+1)
		if err != nil {
			return 0, err
		}
		most = max(most, taken+n)
	}
	return most, nil
}

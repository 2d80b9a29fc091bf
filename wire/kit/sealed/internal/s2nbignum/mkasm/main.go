// Mkasm turns the machine code of s2n-bignum's functions into Go assembly, for package s2nbignum.
//
// It preprocesses and assembles each source, takes the bytes of its text section, refuses bytes that need a linker,
// compares them with the digests that are committed, and writes them with a wrapper that Go calls.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// function is one function of s2n-bignum.
type function struct {
	Name   string // its symbol, and its source's name
	Folder string // of its source, below the architecture's
	Args   int    // pointers that it takes: the result, then the operands
	Frame  int    // bytes that its wrapper gives it for its stack, a multiple of 16
	Code   []byte
}

// Frames in bytes. depth.go measures what a function takes of the stack, and refuses a frame that is too small.
const (
	frame384   = 3328
	frame521   = 5120
	frameField = 512
)

// list is what package s2nbignum needs.
func list(arch string) ([]function, error) {
	p384 := func(alt string) []function {
		return []function{
			{Name: "p384_montjscalarmul" + alt, Args: 3, Frame: frame384},
			{Name: "bignum_montmul_p384" + alt, Args: 3, Frame: frameField},
			{Name: "bignum_montsqr_p384" + alt, Args: 2, Frame: frameField},
		}
	}
	shared := []function{
		{Name: "bignum_montinv_p384", Args: 2, Frame: frameField},
		{Name: "bignum_tomont_p384", Args: 2, Frame: frameField},
		{Name: "bignum_demont_p384", Args: 2, Frame: frameField},
	}
	p521 := func(alt string) []function {
		return []function{
			{Name: "p521_jscalarmul" + alt, Args: 3, Frame: frame521},
			{Name: "bignum_mul_p521" + alt, Args: 3, Frame: frameField},
			{Name: "bignum_sqr_p521" + alt, Args: 2, Frame: frameField},
		}
	}
	var all []function
	switch arch {
	case "amd64":
		all = append(append(p384(""), p384("_alt")...), shared...)
		all = append(all, function{Name: "bignum_tomont_p384_alt", Args: 2, Frame: frameField},
			function{Name: "bignum_demont_p384_alt", Args: 2, Frame: frameField})
		all = append(append(append(all, p521("")...), p521("_alt")...),
			function{Name: "bignum_inv_p521", Args: 2, Frame: frameField})
	case "arm64":
		all = append(p384("_alt"), shared...)
	default:
		return nil, fmt.Errorf("no list of functions for %q", arch)
	}
	for i := range all {
		all[i].Folder = "p384"
		if strings.Contains(all[i].Name, "p521") {
			all[i].Folder = "p521"
		}
	}
	return all, nil
}

func main() {
	var (
		arch    = flag.String("arch", "", "amd64 or arm64")
		sources = flag.String("sources", "", "folder s2n-bignum-imported of the sources")
		cpp     = flag.String("cpp", "cpp", "C preprocessor")
		as      = flag.String("as", "as", "GNU assembler for arch")
		objdump = flag.String("objdump", "objdump", "GNU disassembler for arch")
		digests = flag.String("digests", "", "file of the digests that the code must have")
		update  = flag.Bool("update", false, "write the digests of arch instead of comparing them")
		out     = flag.String("o", "", "file to write")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *arch, *sources, tools{*cpp, *as, *objdump}, *digests, *out, *update)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mkasm:", err)
		os.Exit(1)
	}
}

// tools are programs by name or path.
type tools struct{ cpp, as, objdump string }

func run(ctx context.Context, arch, sources string, t tools, digests, out string, update bool) error {
	all, err := list(arch)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mkasm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i := range all {
		if err := all[i].assemble(ctx, arch, sources, t, dir); err != nil {
			return fmt.Errorf("%s: %w", all[i].Name, err)
		}
	}
	if err := check(arch, digests, all, update); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := templates[arch].Execute(&text, all); err != nil {
		return err
	}
	return os.WriteFile(out, text.Bytes(), 0o644) //nolint:gosec // source code, which other users may build from
}

var folders = map[string]string{"amd64": "x86_att", "arm64": "arm"}

func (f *function) assemble(ctx context.Context, arch, sources string, t tools, dir string) error {
	// AWS-LC's import adds a header that renames symbols, which nothing here needs.
	stub := filepath.Join(dir, "openssl")
	if err := os.MkdirAll(stub, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(stub, "boringssl_prefix_symbols_asm.h"), nil, 0o600); err != nil {
		return err
	}
	source := filepath.Join(sources, folders[arch], f.Folder, f.Name+".S")
	object := filepath.Join(dir, f.Name+".o")
	// Without the host's own macros, so that each host gives the same text.
	pre := exec.CommandContext(ctx, t.cpp, "-undef", "-P", "-I", dir, "-I", filepath.Join(sources, "include"), source)
	text, err := output(pre)
	if err != nil {
		return err
	}
	asm := exec.CommandContext(ctx, t.as, "-o", object, "-")
	asm.Stdin = bytes.NewReader(text)
	if _, err := output(asm); err != nil {
		return err
	}
	if f.Code, err = code(object, f.Name, arch); err != nil {
		return err
	}
	listing, err := output(exec.CommandContext(ctx, t.objdump, "-d", "--no-show-raw-insn", object))
	if err != nil {
		return err
	}
	if name := reserved[arch].FindString(string(listing)); name != "" {
		return fmt.Errorf("it uses %s, which is Go's", name)
	}
	need, err := depth(arch, string(listing))
	if err == nil && need+slack > f.Frame {
		err = fmt.Errorf("it needs %d bytes of stack, its frame has %d", need, f.Frame)
	}
	return err
}

// reserved finds registers that code MUST NOT use even for a while. On arm64, Go's signal handler takes its g from R28,
// and R18 belongs to the platform. On amd64 it takes its g from thread-local storage.
var reserved = map[string]*regexp.Regexp{
	"amd64": regexp.MustCompile(`%[fg]s`),
	"arm64": regexp.MustCompile(`\b[xw](18|28)\b`),
}

// slack is what the wrapper itself uses of the frame: the word that is checked, and on arm64 the return address.
const slack = 16

func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd.Path, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// code returns the text section of an object file, which begins with the function and needs no linker.
func code(object, name, arch string) ([]byte, error) {
	f, err := elf.Open(object)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Machine != machines[arch] {
		return nil, fmt.Errorf("the assembler made code for %s", f.Machine)
	}
	for _, s := range f.Sections {
		switch {
		case s.Name == ".rel.text" || s.Name == ".rela.text":
			return nil, errors.New("its code needs a linker")
		case (s.Name == ".data" || s.Name == ".bss" || strings.HasPrefix(s.Name, ".rodata")) && s.Size > 0:
			return nil, errors.New("it has data beside its code")
		}
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil, err
	}
	for _, s := range symbols {
		if s.Name != name {
			continue
		}
		if s.Value != 0 {
			return nil, errors.New("its code does not begin with it")
		}
		return f.Section(".text").Data()
	}
	return nil, errors.New("its object has no such symbol")
}

// check compares the functions' digests with those in the file, or replaces them there.
func check(arch, file string, all []function, update bool) error {
	var want, have, others strings.Builder
	for _, f := range all {
		fmt.Fprintf(&want, "%x  %s/%s\n", sha256.Sum256(f.Code), arch, f.Name)
	}
	old, err := os.ReadFile(file)
	if err != nil && !update {
		return err
	}
	for line := range strings.Lines(string(old)) {
		if strings.Contains(line, "  "+arch+"/") {
			have.WriteString(line)
		} else {
			others.WriteString(line)
		}
	}
	if update {
		return os.WriteFile(file, []byte(others.String()+want.String()), 0o644) //nolint:gosec // it is committed
	}
	if have.String() != want.String() {
		return fmt.Errorf("the code is not what %s says: it has\n%s", file, want.String())
	}
	return nil
}

var templates = map[string]*template.Template{
	"amd64": parse(header+amd64, 8),
	"arm64": parse(header+arm64, 4),
}

const header = `// Code generated by mkasm from s2n-bignum's sources. DO NOT EDIT.
//
// Copyright Amazon.com, Inc. or its affiliates. All Rights Reserved.
// SPDX-License-Identifier: Apache-2.0 OR ISC OR MIT-0

//go:build s2nbignum

#include "funcdata.h"
#include "textflag.h"
`

// The wrappers give the code a frame of theirs as its stack, so that Go's own check of the stack covers it: the stack
// pointer goes up to the frame's end before the call. A word at the frame's other end must be as it was afterwards:
// code that needs more than its frame ends the process. The frame is wiped. TOPFRAME ends a profiler's look at the
// stack at the code: Go knows none of its frames. On arm64 it took one for its own caller, which ends the process.
const amd64 = `
#define CANARY $0x7265646f75627421
{{range .}}
TEXT ·{{.Name}}(SB), 0, ${{.Frame}}-{{args .}}
	NO_LOCAL_POINTERS
	MOVQ z+0(FP), DI
	MOVQ x+8(FP), SI
{{- if eq .Args 3}}
	MOVQ y+16(FP), DX
{{- end}}
	MOVQ CANARY, AX
	MOVQ AX, 0(SP)
	ADJSP $-{{.Frame}}
	CALL code_{{.Name}}<>(SB)
	ADJSP ${{.Frame}}
	MOVQ CANARY, AX
	CMPQ AX, 0(SP)
	JEQ whole
	UNDEF
whole:
	MOVQ SP, DI
	MOVQ ${{.Frame}}/8, CX
	XORL AX, AX
	REP
	STOSQ
	XORL DX, DX
	XORL SI, SI
	XORL R8, R8
	XORL R9, R9
	XORL R10, R10
	XORL R11, R11
	RET

TEXT code_{{.Name}}<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0-0
{{code .}}{{end}}`

const arm64 = `
#define CANARY $0x7265646f75627421
{{range .}}
TEXT ·{{.Name}}(SB), 0, ${{.Frame}}-{{args .}}
	NO_LOCAL_POINTERS
	MOVD z+0(FP), R0
	MOVD x+8(FP), R1
{{- if eq .Args 3}}
	MOVD y+16(FP), R2
{{- end}}
	MOVD CANARY, R9
	MOVD R9, 8(RSP)
	ADD ${{.Frame}}, RSP
	BL code_{{.Name}}<>(SB)
	SUB ${{.Frame}}, RSP
	MOVD 8(RSP), R10
	MOVD CANARY, R9
	CMP R9, R10
	BEQ whole
	UNDEF
whole:
	ADD $8, RSP, R0
	MOVD ${{.Frame}}/16, R1
wipe:
	STP.P (ZR, ZR), 16(R0)
	SUBS $1, R1
	BNE wipe
{{- range registers}}
	MOVD ZR, R{{.}}
{{- end}}
	RET

TEXT code_{{.Name}}<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0-0
{{code .}}{{end}}`

// parse makes a template whose code stands in words of so many bytes.
func parse(text string, word int) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"args":      func(f function) int { return 8 * f.Args },
		"registers": func() []int { return []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17} },
		"code":      func(f function) string { return words(f.Code, word) },
	}).Parse(text))
}

// words writes code in the words that the assembler has for it: 8 bytes and a rest of single ones, or 4 bytes.
func words(code []byte, size int) string {
	var b strings.Builder
	for len(code) >= size {
		value := uint64(0)
		for i := range size {
			value |= uint64(code[i]) << (8 * i)
		}
		if size == 8 {
			fmt.Fprintf(&b, "\tQUAD $0x%016x\n", value)
		} else {
			fmt.Fprintf(&b, "\tWORD $0x%08x\n", value)
		}
		code = code[size:]
	}
	for _, c := range code {
		fmt.Fprintf(&b, "\tBYTE $0x%02x\n", c)
	}
	return b.String()
}

// Package cmdline makes all programs read their command lines in the same way, with kong. A grammar has the flag
//
//	Version kong.VersionFlag `help:"Print the version and exit."`
//
// The output of --help and --version goes to standard output, and the status is 0. A mistake is reported on standard
// error, with kong's hint at what was meant, and the status is 2; see package program.
package cmdline

import (
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"redoubt/wire/kit/program"
)

// exit unwinds the parser when a flag ends the program.
type exit int

// New makes a parser for [Parse]. version is the release alone.
func New(name, version string, grammar any, out, errOut io.Writer, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(grammar, append([]kong.Option{
		kong.Name(name), kong.Writers(out, errOut), kong.Exit(func(status int) { panic(exit(status)) }),
		kong.Vars{"version": program.Version(name, version)},
	}, options...)...)
}

// Texts gives the help of commands and flags whose tag is "${NAME}" the text of that name. It is for texts that would
// make a tag too long. As kong.Vars they would cost start-up time: kong reads every variable anew for every flag.
type Texts map[string]string

// Apply implements [kong.Option].
func (t Texts) Apply(k *kong.Kong) error {
	return kong.PostBuild(func(k *kong.Kong) error {
		return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
			switch n := node.(type) {
			case *kong.Node:
				t.expand(&n.Help)
			case *kong.Value:
				t.expand(&n.Help)
			}
			return next(nil)
		})
	}).Apply(k)
}

func (t Texts) expand(help *string) {
	if name, ok := strings.CutPrefix(*help, "${"); ok {
		if text, ok := t[strings.TrimSuffix(name, "}")]; ok {
			*help = text
		}
	}
}

// Parse reads a command line. If it returns no context, the program has to end with status: everything has been
// printed.
func Parse(k *kong.Kong, args []string) (kc *kong.Context, status int) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case exit:
			kc, status = nil, int(v)
		default:
			panic(v)
		}
	}()
	kc, err := k.Parse(args)
	if err != nil {
		return nil, program.Misused(k.Stderr, k.Model.Name, err)
	}
	return kc, program.OK
}

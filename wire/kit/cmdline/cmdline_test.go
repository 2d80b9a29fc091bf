package cmdline

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"redoubt/wire/kit/program"
)

type grammar struct {
	Speed   int              `help:"Speed."`
	Version kong.VersionFlag `help:"Print the version and exit."`
}

// Validate is called by the parser.
func (g *grammar) Validate() error {
	if g.Speed < 0 {
		return errors.New("--speed must not be negative")
	}
	return nil
}

func TestCommandLinesAreReadAlike(t *testing.T) {
	for _, c := range []struct {
		args           []string
		status         int
		stdout, stderr string
	}{
		{[]string{"--speed=1"}, 0, "", ""},
		{[]string{"--version"}, 0, program.Version("tool", "v9") + "\n", ""},
		{[]string{"--spede=1"}, 2, "", "tool: unknown flag --spede, did you mean \"--speed\"?\nTry: tool --help\n"},
		{[]string{"--speed=-1"}, 2, "", "tool: --speed must not be negative\nTry: tool --help\n"},
		{[]string{"more"}, 2, "", "tool: unexpected argument more\nTry: tool --help\n"},
	} {
		var out, errOut bytes.Buffer
		k, err := New("tool", "v9", &grammar{}, &out, &errOut)
		if err != nil {
			t.Fatal(err)
		}
		kc, status := Parse(k, c.args)
		if status != c.status || out.String() != c.stdout || errOut.String() != c.stderr || (kc != nil) != (out.Len()+errOut.Len() == 0) {
			t.Errorf("%v: %d %q %q", c.args, status, out.String(), errOut.String())
		}
	}
	var out, errOut bytes.Buffer
	k, err := New("tool", "v9", &grammar{}, &out, &errOut)
	if err != nil {
		t.Fatal(err)
	}
	if kc, status := Parse(k, []string{"--help"}); kc != nil || status != 0 || !strings.HasPrefix(out.String(), "Usage: tool") {
		t.Errorf("%d %s", status, out.String())
	}
}

func TestTextsAreTheHelpOfFlagsAndCommands(t *testing.T) {
	type told struct {
		Do struct {
			Flag string `help:"${flag}" default:"x"`
		} `cmd:"" help:"${do}"`
	}
	var out bytes.Buffer
	k, err := New("tool", "v9", &told{}, &out, &out, Texts{"flag": "A flag of ${default}.", "do": "A command."})
	if err != nil {
		t.Fatal(err)
	}
	if Parse(k, []string{"do", "--help"}); !strings.Contains(out.String(), "A command.") || !strings.Contains(out.String(), "A flag of x.") {
		t.Error(out.String())
	}
	if _, err := New("tool", "v9", &told{}, &out, &out, Texts{"do": "A command."}); err == nil {
		t.Error("a text that is not there is taken")
	}
}

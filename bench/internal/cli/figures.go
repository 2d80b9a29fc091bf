package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"redoubt/bench/internal/measure"
	"redoubt/bench/internal/report"
)

type figuresCommand struct {
	File     string   `arg:"" help:"File of JSON lines, kept by 'make bench'." type:"existingfile"`
	Pages    []string `arg:"" help:"Pages to write its figures into, between their marks." type:"existingfile"`
	Pictured string   `help:"File that says which run the pictures show." required:"" type:"path" placeholder:"FILE"`
	Drawn    bool     `help:"The pictures were drawn of this run: say so in --pictured."`
}

// Run writes the figures.
func (c *figuresCommand) Run(sink *measure.Sink) error {
	lines, err := readFile(c.File)
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(filepath.Base(c.File), ".jsonl")
	if c.Drawn {
		if err := os.WriteFile(c.Pictured, []byte(name+"\n"), 0o644); err != nil { //nolint:gosec // to be read by all
			return fmt.Errorf("figures: %w", err)
		}
	}
	pictured, err := os.ReadFile(c.Pictured)
	if err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	for _, path := range c.Pages {
		page, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("figures: %w", err)
		}
		page, err = report.SetFigures(page, &report.Set{Name: name, Lines: lines}, strings.TrimSpace(string(pictured)))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := os.WriteFile(path, page, 0o644); err != nil { //nolint:gosec // to be read by all
			return fmt.Errorf("figures: %w", err)
		}
		sink.Progress("figures: wrote %s", path)
	}
	return nil
}

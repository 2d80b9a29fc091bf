package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build compiles the programs into dir and returns its absolute path. It works inside the module's folder alone.
func build(ctx context.Context, progress io.Writer, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("build: the go command is needed, or --bin: %w", err)
	}
	module, root, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if module != "redoubt" {
		return "", errors.New("build: not inside the module's folder; use --bin")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	for _, step := range []struct {
		name string
		args []string
	}{
		{"parent", []string{"./parent"}},
		{"api", []string{"./api"}},
		{"enclave", []string{"-tags", "dev", "./enclave"}},
	} {
		fmt.Fprintf(progress, "building %s\n", step.name)
		args := append([]string{"build", "-o", filepath.Join(dir, step.name)}, step.args...)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", step.name, err, bytes.TrimSpace(out))
		}
	}
	return dir, nil
}

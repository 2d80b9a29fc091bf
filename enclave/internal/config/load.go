package config

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/goccy/go-yaml"

	"redoubt/wire/kit/yamlfile"
)

// Load reads and checks the file at path. The error names the file and the key. It repeats no value of the file
// except a region or an ARN.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("config: %s: %w", path, err)
	}
	return c, nil
}

// Parse reads and checks the text of a file over the defaults.
func Parse(b []byte) (*Config, error) {
	if len(b) > MaxFileBytes {
		return nil, fmt.Errorf("larger than %d bytes", MaxFileBytes)
	}
	c := Default()
	if err := decode(b, c); err != nil {
		return nil, err
	}
	d := Default()
	if c.defaults(d) {
		if err := decode(b, d); err != nil {
			return nil, err
		}
		c = d
	}
	if err := c.valid(); err != nil {
		return nil, err
	}
	return c, nil
}

// decode reads the one document in b over the values that c holds.
func decode(b []byte, c *Config) error {
	if err := yamlfile.Decode(b, c); err != nil && !errors.Is(err, io.EOF) {
		return plain(err)
	}
	return nil
}

// plain returns a YAML error's message and position, without the library's excerpt of the file.
func plain(err error) error {
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return err
	}
	if t := ye.GetToken(); t != nil && t.Position != nil {
		return fmt.Errorf("line %d: %s", t.Position.Line, ye.GetMessage())
	}
	return errors.New(ye.GetMessage())
}

package durable

import (
	"errors"
	"os"
)

// Unnamed is not supported where files that are open cannot be removed.
func Unnamed(string) (*os.File, error) { return nil, errors.ErrUnsupported }

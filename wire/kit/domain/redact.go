package domain

import (
	"fmt"
	"io"
	"log/slog"

	"redoubt/wire/kit/secret"
)

// Format implements [fmt.Formatter]: every verb prints [secret.Redacted].
func (k *Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (k *Keys) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (k *Keys) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

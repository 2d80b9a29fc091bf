package envelope

import (
	"fmt"
	"io"
	"log/slog"

	"redoubt/wire/kit/secret"
)

// Format implements [fmt.Formatter]: every verb prints [secret.Redacted].
func (c Context) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (c Context) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (c Context) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// Format implements [fmt.Formatter]: every verb prints [secret.Redacted].
func (s *Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (s *Sender) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (s *Sender) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// Format implements [fmt.Formatter]: a block may hold a bearer's secret.
func (a Auth) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (a Auth) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (a Auth) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

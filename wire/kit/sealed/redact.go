package sealed

import (
	"fmt"
	"io"
	"log/slog"

	"redoubt/wire/kit/secret"
)

// Format implements [fmt.Formatter]: every verb prints [secret.Redacted].
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (k *PrivateKey) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (k *PrivateKey) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// Format implements [fmt.Formatter]: every verb prints [secret.Redacted].
func (c Context) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (c Context) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (c Context) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// Format implements [fmt.Formatter]: every verb prints [secret.Redacted].
func (r Record) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (r Record) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (r Record) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

// Format implements [fmt.Formatter]: every verb prints [secret.Redacted].
func (f Field) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, secret.Redacted) }

// LogValue implements [slog.LogValuer].
func (f Field) LogValue() slog.Value { return slog.StringValue(secret.Redacted) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too.
func (f Field) MarshalText() ([]byte, error) { return []byte(secret.Redacted), nil }

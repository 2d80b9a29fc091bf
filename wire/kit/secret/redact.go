package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every formatter prints instead of a secret.
const Redacted = "[redacted]"

// Format implements [fmt.Formatter]: every verb and flag prints [Redacted].
func (b *Buffer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue implements [slog.LogValuer].
func (b *Buffer) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON implements encoding/json.Marshaler.
func (b *Buffer) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText implements [encoding.TextMarshaler].
func (b *Buffer) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// Format implements [fmt.Formatter]: every verb and flag prints [Redacted].
func (a *Arena) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue implements [slog.LogValuer].
func (a *Arena) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalJSON implements encoding/json.Marshaler.
func (a *Arena) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText implements [encoding.TextMarshaler].
func (a *Arena) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

package session

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"redoubt/wire"
)

func TestADomainsRecordArrivesWholeAndItsRefusalIsTold(t *testing.T) {
	got := make(chan []byte, 1)
	var refusal error
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: &handler{openDomain: func(ctx context.Context, record []byte) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("no deadline")
		}
		got <- record
		return refusal
	}}})
	record := bytes.Repeat([]byte("record"), wire.MaxDomainRecord/6)
	if err := c.OpenDomain(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(<-got, record) {
		t.Error("another record")
	}
	for _, refusal = range []error{
		&wire.Error{Code: wire.KeyDenied}, &wire.Error{Code: wire.Overloaded, RetryAfterMS: 5}, errors.New("secret"),
	} {
		err := c.OpenDomain(t.Context(), record)
		<-got
		var we *wire.Error
		want, ok := refusal.(*wire.Error) //nolint:errorlint // as the handler gave it
		if !ok {
			want = &wire.Error{Code: wire.Internal}
		}
		if !errors.As(err, &we) || *we != *want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	var ce *CallError
	if err := c.OpenDomain(t.Context(), make([]byte, wire.MaxDomainRecord+1)); !errors.As(err, &ce) || !errors.Is(err, wire.ErrLimit) {
		t.Errorf("too large a record: %v", err)
	}
}

// A record whose opening takes long keeps neither the control stream nor requests waiting, and ends at its deadline.
func TestAnOpeningThatTakesLongHoldsNothingUp(t *testing.T) {
	begun := make(chan struct{})
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: &handler{openDomain: func(ctx context.Context, _ []byte) error {
		close(begun)
		<-ctx.Done()
		return &wire.Error{Code: wire.DeadlineExceeded}
	}}})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.OpenDomain(ctx, []byte("record")) }()
	<-begun
	if _, err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}

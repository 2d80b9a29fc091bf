package session

import (
	"errors"
	"testing"

	"redoubt/wire"
)

// TestEveryKindOfRequestTravelsOnBothLanes: what is asked for arrives with its kind, and its answer with its own.
func TestEveryKindOfRequestTravelsOnBothLanes(t *testing.T) {
	t.Parallel()
	c, _ := pair(t, ClientConfig{}, ServerConfig{Handler: &handler{request: func(r *Request) {
		_ = r.Responder.Send(r.Kind+1, append(r.Responder.Buffer(100), r.Body...))
	}}})
	asked := 0
	for kind := range wire.KindError {
		if _, ok := kind.LaneRequest(); !ok {
			continue
		}
		for _, batch := range []bool{false, true} {
			call := c.NewCall()
			call.Kind, call.Batch = kind, batch
			call.Body = append(call.Body, byte(kind), 7)
			if err := c.Do(t.Context(), call); err != nil || call.AnswerKind != kind+1 ||
				string(call.Answer) != string([]byte{byte(kind), 7}) {
				t.Errorf("kind %d, batch %t: %v, kind %d", kind, batch, err, call.AnswerKind)
			}
			call.Release()
			asked++
		}
	}
	if asked != 10 {
		t.Errorf("%d requests, want 10", asked)
	}
}

// TestAKindIsOnlySentToAnEnclaveThatKnowsIt, and one that is no request never.
func TestAKindIsOnlySentToAnEnclaveThatKnowsIt(t *testing.T) {
	t.Parallel()
	taken := make(chan wire.Kind, 8)
	sc := ServerConfig{Handler: &handler{request: func(r *Request) {
		taken <- r.Kind
		_ = r.Responder.Send(r.Kind+1, nil)
	}}}
	sc.Hello.Features = wire.AllFeatures() &^ wire.FeatureDomainWrites
	c, _ := pair(t, ClientConfig{}, sc)
	for _, kind := range []wire.Kind{
		wire.KindCreateDomain, wire.KindWrapDomain, wire.KindMint, wire.KindReseal, wire.KindDecrypted, wire.KindPurge, 77,
	} {
		call := c.NewCall()
		call.Kind = kind
		var failure *CallError
		if err := c.Do(t.Context(), call); !errors.Is(err, ErrUnsupported) || !errors.As(err, &failure) || failure.Sent {
			t.Errorf("kind %d: %v", kind, err)
		}
		call.Release()
	}
	call := c.NewCall()
	defer call.Release()
	if err := c.Do(t.Context(), call); err != nil || <-taken != wire.KindDecrypt || len(taken) != 0 {
		t.Errorf("a decrypt afterwards: %v, %d other requests arrived", err, len(taken))
	}
}

// TestAnEnclaveRefusesKindsThatTheSessionDoesNotHave: a parent that sends them nevertheless is answered, and loses the
// session if it goes on.
func TestAnEnclaveRefusesKindsThatTheSessionDoesNotHave(t *testing.T) {
	t.Parallel()
	s := &Server{}
	for kind := range wire.KindError {
		needs, ok := kind.LaneRequest()
		s.features = 0
		if got := s.takes(kind); got != (ok && needs == 0) {
			t.Errorf("kind %d without features: %t", kind, got)
		}
		if s.features = wire.AllFeatures(); s.takes(kind) != ok {
			t.Errorf("kind %d with all features: %t", kind, !ok)
		}
	}
}

package domainadmin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"redoubt/api/internal/audit"
	"redoubt/api/internal/domains"
	"redoubt/api/internal/store"
	"redoubt/wire/kit/domain"
)

// Exported is a generation of a domain outside the store. It holds nothing that is secret: who has it and may use the
// KMS key in an enclave of that key's policy can open the domain, and nobody else.
type Exported struct {
	ID         string `json:"id"`
	Generation uint16 `json:"generation"`
	Record     []byte `json:"record"`
	MAC        []byte `json:"mac"`
	State      string `json:"state"`
}

// Export returns a generation of a domain, which is believed. store.ErrNotFound, domains.ErrUntrusted.
func (a *Admin) Export(ctx context.Context, id string, generation uint16) (*Exported, error) {
	d, err := a.Get(ctx, id, generation)
	if err != nil {
		return nil, err
	}
	stored, err := a.Store.Domain(ctx, d.Descriptor.ID, d.Descriptor.Generation)
	if err != nil {
		return nil, err
	}
	return &Exported{
		ID: stored.ID, Generation: stored.Generation, Record: stored.Record, MAC: stored.MAC, State: stored.State,
	}, nil
}

// Import stores a generation that was exported, of this store or another. It is believed if its MAC is of this API's
// HMAC key, or if pin, 96 hex digits, is the hash of its descriptor; pin may be empty. An enclave must open it. A
// record that is there already stays; importing the same record again is no error. ErrProof, ErrPin, ErrTaken, ErrOpen,
// domain.ErrRecord.
func (a *Admin) Import(ctx context.Context, c audit.Caller, x *Exported, pin string) (*domains.Domain, error) {
	record, d, err := domain.ParseRecord(x.Record)
	if err != nil {
		return nil, err
	}
	if d.ID != x.ID || d.Generation != x.Generation {
		return nil, ErrRequest
	}
	dh := domain.Sum(record.Descriptor)
	if err := a.genuine(ctx, dh, x.MAC, pin); err != nil {
		return nil, err
	}
	if err := a.opensOne(ctx, record); err != nil {
		return nil, err
	}
	out, err := a.add(ctx, c, audit.EventImportDomain, d.ID, d.Generation, dh, x.Record)
	if err == nil && x.State == domains.StateRetired {
		return a.Retire(ctx, c, d.ID, d.Generation)
	}
	return out, err
}

func (a *Admin) genuine(ctx context.Context, dh domain.Hash, mac []byte, pin string) error {
	if pin != "" {
		if !strings.EqualFold(pin, hex.EncodeToString(dh[:])) {
			return ErrPin
		}
		return nil
	}
	if len(mac) == 0 {
		return ErrProof
	}
	ok, err := a.MACs.VerifyMAC(ctx, domain.MACInput(dh), mac)
	switch {
	case err != nil:
		return err
	case !ok:
		return ErrProof
	}
	return nil
}

// opensOne has an enclave open any wrap of a record: of those of lost keys or other regions it needs none.
func (a *Admin) opensOne(ctx context.Context, r *domain.Record) error {
	var all error
	for i := range r.Wraps {
		err := a.open(ctx, r, i)
		if err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	return all
}

// Wrapped says of one wrap whether an enclave opens it.
type Wrapped struct {
	ARN     string `json:"key_arn"`
	Opens   bool   `json:"opens"`
	Problem string `json:"problem,omitempty"`
}

// Status is what a check found of one generation.
type Status struct {
	ID         string    `json:"id"`
	Generation uint16    `json:"generation"`
	State      string    `json:"state"`
	Hash       string    `json:"hash,omitempty"`
	Created    uint64    `json:"created,omitempty"` // ms since 1970
	Suites     []string  `json:"suites,omitempty"`
	Requests   []string  `json:"request_suites,omitempty"`
	Believed   bool      `json:"believed"`
	Problem    string    `json:"problem,omitempty"`
	Wraps      []Wrapped `json:"wraps"`
}

// Fine reports whether the generation is believed, and each of its wraps opens.
func (s *Status) Fine() bool {
	return s.Believed && !slices.ContainsFunc(s.Wraps, func(w Wrapped) bool { return !w.Opens })
}

// List returns each generation of each domain, of one id unless that is empty, ordered by id and generation. A
// generation that is not believed is among them, and says so.
func (a *Admin) List(ctx context.Context, id string) ([]*Status, error) {
	out := []*Status{}
	err := a.Store.ListDomains(ctx, func(d *store.Domain) error {
		if id == "" || d.ID == id {
			out = append(out, &Status{ID: d.ID, Generation: d.Generation, State: d.State, Wraps: []Wrapped{}})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(x, y *Status) int {
		if by := strings.Compare(x.ID, y.ID); by != 0 {
			return by
		}
		return int(x.Generation) - int(y.Generation)
	})
	for _, s := range out {
		d, err := a.Registry.Get(ctx, s.ID, s.Generation)
		switch {
		case errors.Is(err, domains.ErrUntrusted), errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrNotFound):
			s.Problem = err.Error()
		case err != nil:
			return nil, err
		default:
			s.describe(d)
		}
	}
	return out, nil
}

func (s *Status) describe(d *domains.Domain) {
	s.Believed, s.State, s.Hash, s.Created = true, d.State, hex.EncodeToString(d.Hash[:]), d.Descriptor.CreatedMS
	s.Suites = names(d.Descriptor.Suites)
	for i := range d.Descriptor.Requests {
		s.Requests = append(s.Requests, d.Descriptor.Requests[i].Suite.String())
	}
	for i := range d.Record.Wraps {
		s.Wraps = append(s.Wraps, Wrapped{ARN: d.Record.Wraps[i].ARN})
	}
}

// Check is List, and has an enclave open each wrap of the generations that are believed.
func (a *Admin) Check(ctx context.Context, id string) ([]*Status, error) {
	list, err := a.List(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if !s.Believed {
			continue
		}
		d, err := a.Registry.Get(ctx, s.ID, s.Generation)
		if err != nil {
			return nil, err
		}
		for i := range d.Record.Wraps {
			if i == len(s.Wraps) {
				s.Wraps = append(s.Wraps, Wrapped{ARN: d.Record.Wraps[i].ARN}) // added meanwhile
			}
			err := a.open(ctx, d.Record, i)
			if s.Wraps[i].Opens = err == nil; err != nil {
				s.Wraps[i].Problem = err.Error()
			}
		}
	}
	return list, nil
}

// String is a line for an operator.
func (s *Status) String() string {
	if !s.Believed {
		return fmt.Sprintf("%s generation %d: NOT BELIEVED: %s", s.ID, s.Generation, s.Problem)
	}
	return fmt.Sprintf("%s generation %d, %s: %s, %d wraps, %s", s.ID, s.Generation, s.State, strings.Join(s.Suites, " "),
		len(s.Wraps), s.Hash)
}

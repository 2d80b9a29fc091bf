package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Domain is a generation of a domain, as the API believes it. See package wire/kit/domain for the formats.
type Domain struct {
	ID         string   `json:"id"`
	Generation uint16   `json:"generation"`
	Hash       string   `json:"hash"`       // SHA-384 of the descriptor, in hex
	State      string   `json:"state"`      // active or retired
	CreatedMS  uint64   `json:"created_ms"` // when an enclave made it, in milliseconds since 1970
	Suites     []string `json:"suites"`     // of vaults; the first is the default
	Record     []byte   `json:"record"`     // descriptor and wraps, to be handed to an enclave that has not opened it
}

// Domain returns a generation of a domain; 0 is the highest active one.
func (c *Client) Domain(ctx context.Context, id string, generation uint16) (*Domain, error) {
	q := url.Values{"id": {id}}
	if generation != 0 {
		q.Set("generation", strconv.Itoa(int(generation)))
	}
	return c.domain(ctx, call{path: "/domains", query: q})
}

// DomainByHash returns the domain whose descriptor has this SHA-384, 96 hex digits in lower case.
func (c *Client) DomainByHash(ctx context.Context, hash string) (*Domain, error) {
	return c.domain(ctx, call{path: "/domains/" + url.PathEscape(hash)})
}

func (c *Client) domain(ctx context.Context, r call) (*Domain, error) {
	var out Domain
	r.method, r.out = http.MethodGet, &out
	if _, err := c.do(ctx, r); err != nil {
		return nil, err
	}
	return &out, nil
}

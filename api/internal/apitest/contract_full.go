//go:build contract

package apitest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

// Contract validates answers against an OpenAPI document.
type Contract struct{ v validator.Validator }

// NewContract reads the document and validates it against the OpenAPI 3.1 schema first.
func NewContract(spec []byte) (*Contract, error) {
	doc, err := libopenapi.NewDocument(spec)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if ok, problems := v.ValidateDocument(); !ok {
		for _, p := range problems {
			err = errors.Join(err, errors.New(p.Message+": "+p.Reason))
		}
		return nil, err
	}
	return &Contract{v}, nil
}

// Check validates one answer. Paths and methods that the document does not have must be answered 404 and 405.
func (c *Contract) Check(r *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == callerGone ||
		strings.Contains(r.URL.Path, "//") {
		return nil // the validator reads a doubled slash as one
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	ok, problems := c.v.ValidateHttpResponse(r, resp)
	if ok {
		return nil
	}
	for _, p := range problems {
		if resp.StatusCode == http.StatusNotFound && p.ValidationType == "path" {
			return nil
		}
		err = errors.Join(err, errors.New(p.Message+": "+p.Reason))
		for _, s := range p.SchemaValidationErrors {
			err = errors.Join(err, errors.New(s.FieldPath+" "+s.Reason))
		}
	}
	return err
}

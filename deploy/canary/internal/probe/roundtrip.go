package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"redoubt/api/client"
	"redoubt/wire/kit/awsconfig"
)

// recordLife bounds how long a synthetic record stays if its deletion failed.
const recordLife = time.Hour

// ErrWrongValue reports that the returned record is not the one that was stored.
var ErrWrongValue = errors.New("what was opened is not what was stored")

// StepError names the step of the round trip that failed, and the status (0: no answer).
type StepError struct {
	Step   string
	Status int
}

// Error names step and status.
func (e *StepError) Error() string {
	if e.Status == 0 {
		return e.Step + ": no answer"
	}
	return fmt.Sprintf("%s: status %d", e.Step, e.Status)
}

// step reduces an error to what may be logged: the step and the API's status.
func step(name string, err error) error {
	var e *client.Error
	none := awsconfig.NoCredentials(err)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return &StepError{name, e.Status}
	case none != nil:
		return fmt.Errorf("%s: %w: %w", name, errCannotSign, none)
	case errors.Is(err, errCannotSign):
		return fmt.Errorf("%s: %w", name, errCannotSign)
	}
	return &StepError{Step: name}
}

// roundTrip creates, opens and deletes a record. It deletes the record whatever the opening returned.
func (p *Probe) roundTrip(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	value := "canary-" + rand.Text()
	made, err := p.api.Create(ctx, map[string]string{"first_name": value}, client.CreateOptions{TTL: recordLife})
	if err != nil {
		return step("create", err)
	}
	if made.ID == "" {
		return &StepError{"create", http.StatusOK}
	}
	opened := p.open(ctx, made.ID, value)
	return errors.Join(opened, step("delete", p.api.Delete(ctx, made.ID, "")))
}

func (p *Probe) open(ctx context.Context, id, want string) error {
	got, err := p.api.Decrypt(ctx, id, client.DecryptRequest{Fields: []string{"first_name"}, Reason: "canary"})
	if err != nil {
		return step("decrypt", err)
	}
	if value, ok := got.Text("first_name"); !ok || value != want {
		return ErrWrongValue
	}
	return nil
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/user"
	"strconv"
	"time"

	"redoubt/api/internal/auth"
	"redoubt/api/internal/domainadmin"
	"redoubt/api/internal/resealjob"
	"redoubt/api/internal/store"
	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
)

// What an operator may ask for. An operator asks the server that has the embedded store open, by its socket; for other
// stores, and without a server, the command does it itself, with the server's flags.
const (
	opPing    = "ping"
	opVaults  = "vaults"
	opReseal  = "reseal"
	opErased  = "erased"
	opCreate  = "domain create"
	opList    = "domain list"
	opCheck   = "domain check"
	opWrap    = "domain wrap"
	opExport  = "domain export"
	opImport  = "domain import"
	opRetire  = "domain retire"
	maxAnswer = 64 << 20
)

// operation is what is asked, as JSON.
type operation struct {
	Op       string   `json:"op"`
	Operator string   `json:"operator,omitempty"` // the name of the user who gave the command
	Vault    string   `json:"vault,omitempty"`
	Cursor   string   `json:"cursor,omitempty"`
	Drop     []string `json:"drop,omitempty"`
	Force    bool     `json:"force,omitempty"`
	Dry      bool     `json:"dry,omitempty"`
	DropKeys bool     `json:"drop_keys,omitempty"`

	Create     *domainadmin.Create   `json:"create,omitempty"`
	Domain     string                `json:"domain,omitempty"`
	Generation uint16                `json:"generation,omitempty"`
	KeyARN     string                `json:"key_arn,omitempty"`
	Exported   *domainadmin.Exported `json:"exported,omitempty"`
	Pin        string                `json:"pin,omitempty"`
}

// answer is what comes of it. Error is the text of an error, Transient one that may pass.
type answer struct {
	Error     string `json:"error,omitempty"`
	Hint      string `json:"hint,omitempty"`
	Transient bool   `json:"transient,omitempty"`

	IDs      []string              `json:"ids,omitempty"`
	Next     string                `json:"next,omitempty"`
	Result   *resealjob.Result     `json:"result,omitempty"`
	Epoch    uint16                `json:"epoch,omitempty"`
	Lost     []string              `json:"lost,omitempty"`
	Erasure  *vault.Erasure        `json:"erasure,omitempty"`
	Domains  []*domainadmin.Status `json:"domains,omitempty"`
	Document []byte                `json:"document,omitempty"`
	Exported *domainadmin.Exported `json:"exported,omitempty"`
}

// operator carries operations out.
type operator struct {
	vault *vault.Service
	admin *domainadmin.Admin
}

// caller is the operator as audit entries name him.
func (q *operation) caller() *vault.Caller {
	return &vault.Caller{Principal: auth.Principal{Name: "operator:" + q.Operator, Operator: true}}
}

// do carries an operation out. Its error is in the answer.
func (o *operator) do(ctx context.Context, q *operation) *answer {
	out, err := o.run(ctx, q)
	if err == nil {
		return out
	}
	a := &answer{Error: err.Error(), Transient: transient(err)}
	var h *hinted
	if errors.As(err, &h) {
		a.Hint = h.hint
	}
	return a
}

func (o *operator) run(ctx context.Context, q *operation) (*answer, error) {
	switch q.Op {
	case opPing:
		return &answer{}, nil
	case opVaults:
		list, next, err := o.vault.List(ctx, q.caller(), store.Page{Cursor: q.Cursor, Limit: store.MaxPage})
		out := &answer{Next: next}
		for i := range list {
			out.IDs = append(out.IDs, list[i].ID)
		}
		return out, err
	case opReseal:
		return o.reseal(ctx, q)
	case opErased:
		e, err := o.vault.Erased(ctx, q.caller(), q.Vault)
		return &answer{Erasure: e}, err
	}
	out, err := o.aboutDomains(ctx, q)
	return out, domainHint(err)
}

// reseal gives a vault a new key. What concerns the vault alone is a result, and not an error.
func (o *operator) reseal(ctx context.Context, q *operation) (*answer, error) {
	if q.Dry {
		due, err := o.vault.Due(ctx, q.caller(), q.Vault)
		if res := resultOf(err); res != nil {
			return &answer{Result: res}, nil
		}
		res := &resealjob.Result{Outcome: resealjob.Current}
		if due {
			res.Outcome = resealjob.Due
		}
		return &answer{Result: res}, err
	}
	made, err := o.vault.Reseal(ctx, q.caller(), &vault.ResealRequest{ID: q.Vault, Drop: q.Drop, Force: q.Force})
	if res := resultOf(err); res != nil || err != nil {
		return &answer{Result: res}, unlessJudged(res, err)
	}
	res := &resealjob.Result{Outcome: resealjob.Current}
	if made.Done {
		res.Outcome = resealjob.Resealed
	}
	if q.DropKeys {
		if res.Dropped, err = o.vault.DropKeys(ctx, q.caller(), q.Vault); resultOf(err) != nil {
			err = nil // it changed or went since; the next job drops them
		}
	}
	return &answer{Result: res, Epoch: made.Epoch, Lost: made.Dropped}, err
}

func unlessJudged(res *resealjob.Result, err error) error {
	if res != nil {
		return nil
	}
	return err
}

// resultOf is the result of an error that is about the vault alone, and nil for other errors.
func resultOf(err error) *resealjob.Result {
	for _, c := range []struct {
		is      error
		outcome resealjob.Outcome
	}{
		{vault.ErrNotFound, resealjob.Gone},
		{store.ErrErased, resealjob.Gone},
		{vault.ErrConflict, resealjob.Conflict},
		{vault.ErrNotMovable, resealjob.NotMovable},
		{store.ErrEpochsFull, resealjob.Full},
		{store.ErrInconsistent, resealjob.Inconsistent},
		{store.ErrDamaged, resealjob.Damaged},
		{vault.ErrKeyUnverified, resealjob.Unverified},
		{vault.ErrEncoding, resealjob.Damaged},
	} {
		if errors.Is(err, c.is) {
			return &resealjob.Result{Outcome: c.outcome, Text: err.Error()}
		}
	}
	var unopened *vault.UnopenedError
	if errors.As(err, &unopened) {
		return &resealjob.Result{Outcome: resealjob.Unopened, Fields: unopened.Fields, Text: err.Error()}
	}
	return nil
}

// transient reports whether an error may pass by itself.
func transient(err error) bool {
	for _, is := range []error{
		store.ErrThrottled, store.ErrUnavailable, store.ErrUnknownOutcome, upstream.ErrUnavailable, upstream.ErrNoEnclave,
		vault.ErrAudit,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	var limited *vault.RateError
	var up *upstream.Error
	return errors.As(err, &limited) || errors.As(err, &up) && up.RetryAfter > 0
}

func (o *operator) aboutDomains(ctx context.Context, q *operation) (out *answer, err error) {
	c := q.caller()
	by := auditCaller(c)
	out = &answer{}
	switch q.Op {
	case opCreate:
		if q.Create == nil {
			return nil, domainadmin.ErrRequest
		}
		made, err := o.admin.Create(ctx, by, q.Create)
		if err != nil {
			return nil, err
		}
		out.Document, q.Domain = made.Document, made.Descriptor.ID
		q.Generation = made.Descriptor.Generation
		return out, o.one(ctx, q, out)
	case opList:
		out.Domains, err = o.admin.List(ctx, q.Domain)
		return out, err
	case opCheck:
		out.Domains, err = o.admin.Check(ctx, q.Domain)
		return out, err
	case opWrap:
		if _, err := o.admin.Wrap(ctx, by, q.Domain, q.Generation, q.KeyARN); err != nil {
			return nil, err
		}
		return out, o.one(ctx, q, out)
	case opRetire:
		if _, err := o.admin.Retire(ctx, by, q.Domain, q.Generation); err != nil {
			return nil, err
		}
		return out, o.one(ctx, q, out)
	case opExport:
		out.Exported, err = o.admin.Export(ctx, q.Domain, q.Generation)
		return out, err
	case opImport:
		if q.Exported == nil {
			return nil, domainadmin.ErrRequest
		}
		if _, err := o.admin.Import(ctx, by, q.Exported, q.Pin); err != nil {
			return nil, err
		}
		q.Domain, q.Generation = q.Exported.ID, q.Exported.Generation
		return out, o.one(ctx, q, out)
	}
	return nil, fmt.Errorf("unknown operation %q: the server is of another release", q.Op)
}

// one puts the status of the generation that q is about into the answer.
func (o *operator) one(ctx context.Context, q *operation, out *answer) error {
	all, err := o.admin.List(ctx, q.Domain)
	for _, s := range all {
		if q.Generation == 0 || s.Generation == q.Generation {
			out.Domains = append(out.Domains, s)
		}
	}
	return err
}

// operate serves operations on the socket.
func operate(o *operator, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q operation
		if err := json.NewDecoder(io.LimitReader(r.Body, maxAnswer)).Decode(&q); err != nil {
			http.Error(w, "not an operation", http.StatusBadRequest)
			return
		}
		a := o.do(r.Context(), &q)
		if q.Op != opPing && q.Op != opVaults && q.Op != opReseal {
			log.Info("operation", "op", q.Op, "operator", q.Operator, "ok", a.Error == "")
		}
		_ = json.NewEncoder(w).Encode(a) // the command may have ended
	}
}

// doer carries an operation out, here or in the server.
type doer func(ctx context.Context, q *operation) (*answer, error)

// operateFlags are the flags of commands that act as the operator.
type operateFlags struct {
	Admin string `help:"The server's socket." env:"API_ADMIN" placeholder:"FILE"`

	appFlags `embed:""`
}

// operator calls fn with what carries operations out: the server of the embedded store, or this process.
func (f *operateFlags) operator(e *env, fn func(do doer) error) error {
	name := operatorName()
	if socket := adminPath(f.Admin, f.boltPath()); socket != "" {
		do := func(ctx context.Context, q *operation) (*answer, error) { return remote(ctx, socket, name, q) }
		_, err := do(e.ctx, &operation{Op: opPing})
		if err == nil {
			return fn(do)
		}
		if !errors.Is(err, errNotServing) {
			return err
		}
	}
	a, err := build(e.ctx, e.version, logger(e, "warn"), &f.appFlags, nil)
	if err != nil {
		return err
	}
	defer a.close()
	return fn(func(ctx context.Context, q *operation) (*answer, error) {
		q.Operator = name
		return judged(a.operator.do(ctx, q))
	})
}

func operatorName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}

// remote has the server carry an operation out.
func remote(ctx context.Context, socket, name string, q *operation) (*answer, error) {
	q.Operator = name
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	resp, err := adminCall(ctx, socket, http.MethodPost, "/operate", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(a); err != nil {
		return nil, errors.New("the server's answer is not understood")
	}
	return judged(a)
}

// judged turns the answer's error into one.
func judged(a *answer) (*answer, error) {
	if a.Error == "" {
		return a, nil
	}
	err := errors.New(a.Error)
	if a.Transient {
		err = fmt.Errorf("%w: %s", resealjob.ErrTransient, a.Error)
	}
	if a.Hint != "" {
		return nil, hint(err, a.Hint)
	}
	return nil, err
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + " days"
	}
	return d.String()
}

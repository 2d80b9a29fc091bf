package envelope

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
)

// part is a piece of a format, and the errors that a changed byte of it may give.
type part struct {
	name string
	size int
	want []error
}

// flip flips a bit of each byte of b in turn, and wants an error of the byte's part. The part without a size has what is
// left over.
func flip(t *testing.T, b []byte, parts []part, try func(b []byte) error) {
	t.Helper()
	if err := try(b); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	fixed := 0
	for _, p := range parts {
		fixed += p.size
	}
	at := 0
	for _, p := range parts {
		size := p.size
		if size == 0 {
			size = len(b) - fixed
		}
		for i := at; i < at+size; i++ {
			b[i] ^= 1 << (i % 8)
			err := try(b)
			b[i] ^= 1 << (i % 8)
			ok := false
			for _, want := range p.want {
				ok = ok || err == want //nolint:errorlint // as it stands: an error says no more than its kind
			}
			if !ok {
				t.Errorf("%s, byte %d (%d of the whole): %v, want %v", p.name, i-at, i, err, p.want)
			}
		}
		at += size
	}
	if at != len(b) {
		t.Fatalf("the parts have %d bytes, want %d", at, len(b))
	}
}

var errOther = errors.New("names another domain")

// opener does what an enclave does with the bytes of a request. It keeps contexts, as an enclave does.
type opener struct {
	k        *domain.Keys
	contexts map[string]Context
}

func newOpener(k *domain.Keys) *opener { return &opener{k, map[string]Context{}} }

func (o *opener) open(b []byte) (Body, error) {
	r, err := Parse(b)
	if err != nil {
		return Body{}, err
	}
	c, err := o.context(r)
	if err != nil {
		return Body{}, err
	}
	return c.Open(nil, r)
}

func (o *opener) context(r Request) (Context, error) {
	h := o.k.Hash()
	if !bytes.Equal(r.Domain, h[:NameSize]) {
		return Context{}, errOther
	}
	if c, ok := o.contexts[string(r.Enc)]; ok {
		return c, nil
	}
	key, err := o.k.RequestKey(r.Suite)
	if err != nil {
		return Context{}, err
	}
	defer key.Destroy()
	c, err := Derive(make([]byte, ContextSize), key, h, r.Enc)
	if err == nil {
		o.contexts[string(r.Enc)] = c
	}
	return c, err
}

func TestEachByteOfARequestCounts(t *testing.T) {
	v := readVectors(t, designFile)
	o := newOpener(v.open(t))
	for suite, name := range map[sealed.Suite]string{sealed.P384: "2", sealed.XWing: "4"} {
		flip(t, v.hex(t, "sealed_request_"+name), []part{
			{"magic", 4, []error{ErrMalformed}},
			{"suite", 1, []error{ErrMalformed}},
			{"domain", 32, []error{errOther}},
			{"length of enc", 2, []error{ErrMalformed}},
			{"enc", suite.EncSize(), []error{ErrOpen}},
			{"salt", 16, []error{ErrOpen}},
			{"ciphertext and tag", 0, []error{ErrOpen}},
		}, func(b []byte) error {
			_, err := o.open(b)
			return err
		})
	}
}

// What is cut off or added, and what is of another domain or suite.
func TestRequestsOfOtherLengthsAreMalformed(t *testing.T) {
	v := readVectors(t, designFile)
	o := newOpener(v.open(t))
	raw := v.hex(t, "sealed_request_2")
	for n := range raw {
		if _, err := o.open(raw[:n]); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrOpen) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := o.open(append(bytes.Clone(raw), 0)); !errors.Is(err, ErrOpen) {
		t.Errorf("a byte more: %v", err)
	}
	huge := append(bytes.Clone(raw), make([]byte, MaxRequest)...)
	if _, err := Parse(huge); !errors.Is(err, ErrMalformed) {
		t.Errorf("too large: %v", err)
	}
	if _, err := Parse(huge[:MaxRequest]); err != nil {
		t.Errorf("as large as may be: %v", err)
	}
}

// A request is opened by its domain's key alone, and under the domain's whole hash, of which it names the beginning.
func TestARequestIsOfOneDomainAndSuite(t *testing.T) {
	v := readVectors(t, designFile)
	k := v.open(t)
	raw := v.hex(t, "sealed_request_4")
	r, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.RequestKey(sealed.XWing)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Destroy()
	other := k.Hash()
	other[domain.HashSize-1] ^= 1
	c, err := Derive(make([]byte, ContextSize), key, other, r.Enc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(nil, r); !errors.Is(err, ErrOpen) {
		t.Errorf("another end of the hash: %v", err)
	}
	mem := bytes.Repeat([]byte{1}, ContextSize)
	if _, err := Derive(mem, key, k.Hash(), r.Enc[1:]); !errors.Is(err, ErrOpen) || !bytes.Equal(mem, make([]byte, ContextSize)) {
		t.Errorf("a short enc: %v", err)
	}
	if _, err := Derive(mem[1:], key, k.Hash(), r.Enc); !errors.Is(err, ErrOpen) {
		t.Errorf("little memory: %v", err)
	}
	none := LoadContext(nil)
	if _, err := none.Open(nil, r); !errors.Is(err, ErrOpen) {
		t.Error(err)
	}
	if _, err := none.Seal(nil, r, &Answer{}); !errors.Is(err, ErrAnswer) {
		t.Error(err)
	}
	good, _ := contextFor(t, k, raw)
	if _, err := good.Open(nil, Request{}); !errors.Is(err, ErrOpen) {
		t.Error(err)
	}
}

func contextFor(t *testing.T, k *domain.Keys, raw []byte) (Context, Request) {
	r, c := contextOf(t, k, raw)
	return c, r
}

func TestEachByteOfAnAnswerCounts(t *testing.T) {
	v := readVectors(t, designFile)
	k := v.open(t)
	for _, name := range []string{"2", "4"} {
		r, c := contextOf(t, k, v.hex(t, "sealed_request_"+name))
		s, p := senderOf(t, k, r, c)
		all := []part{{"salt, ciphertext and tag", 0, []error{ErrAnswer}}}
		flip(t, v.hex(t, "sealed_answer_"+name), all, func(b []byte) error {
			_, err := s.Open(nil, p, b)
			return err
		})
		flip(t, v.hex(t, "sealed_request_"+name)[:fixed+len(r.Enc)], []part{
			{"magic and suite", 5, []error{ErrMalformed, ErrAnswer}},
			{"domain", 32, []error{ErrAnswer}},
			{"length of enc", 2, []error{ErrMalformed}},
			{"enc and salt", 0, []error{ErrAnswer}},
		}, func(b []byte) error { // an answer to a request with another head
			r, err := Parse(append(bytes.Clone(b), v.hex(t, "sealed_request_"+name)[len(b):]...))
			if err != nil {
				return err
			}
			out, err := c.Seal(nil, r, &Answer{})
			if err != nil {
				return err
			}
			_, err = s.Open(nil, p, out)
			return err
		})
	}
}

// An answer is to one request: not to another of the same context, nor to the same head with another ciphertext.
func TestAnAnswerIsToOneRequest(t *testing.T) {
	k, s := newSenderOf(t, sealed.P384)
	var raws [][]byte
	var pending []Pending
	for range 2 {
		raw, p, err := s.Seal(nil, &Body{Created: 1}, testTime)
		if err != nil {
			t.Fatal(err)
		}
		raws, pending = append(raws, raw), append(pending, p)
	}
	r, c := contextOf(t, k, raws[0])
	answer, err := c.Seal(nil, r, &Answer{Time: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(nil, pending[0], answer); err != nil {
		t.Error(err)
	}
	if _, err := s.Open(nil, pending[1], answer); !errors.Is(err, ErrAnswer) {
		t.Errorf("the other request: %v", err)
	}
	p := pending[0]
	p.tag[0] ^= 1
	if _, err := s.Open(nil, p, answer); !errors.Is(err, ErrAnswer) {
		t.Errorf("another tag: %v", err)
	}
	for _, n := range []int{0, Overhead, Overhead + minBody - 1, len(answer) - 1} {
		if _, err := s.Open(nil, pending[0], answer[:n]); !errors.Is(err, ErrAnswer) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := s.Open(nil, pending[0], make([]byte, MaxAnswer+1)); !errors.Is(err, ErrAnswer) {
		t.Error(err)
	}
}

// bodies seals bodies that a hostile sender made.
func sealRaw(t *testing.T, s *Sender, body []byte) []byte {
	t.Helper()
	salt := [SaltSize]byte{1}
	head := s.appendHead(nil, salt)
	var buf [maxInfo]byte
	out, err := sealed.SealOnce(bytes.Clone(head), Context{s.mem.Bytes()}.request(), requestInfo(&buf, salt[:]), body, head)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Each byte of a body that opened. What a sender may say is not malformed; lengths and padding are.
func TestBodiesHaveOneForm(t *testing.T) {
	k, s := newSenderOf(t, sealed.P384)
	good := Body{Created: 5, Auth: Auth{AuthKey, []byte("block")}, Kind: 3, Message: pattern(300)}
	size, err := good.size()
	if err != nil {
		t.Fatal(err)
	}
	body := good.append(make([]byte, 0, size), size)
	said := errors.New("another body")
	r, c := contextOf(t, k, sealRaw(t, s, body))
	if _, err := c.Open(nil, r); err != nil {
		t.Fatal(err)
	}
	flip(t, body, []part{
		{"created", 8, []error{said}},
		{"kind of auth", 1, []error{said}},
		{"length of auth", 2, []error{ErrBody}},
		{"auth", 5, []error{said}},
		{"kind", 1, []error{said}},
		{"length", 4, []error{ErrBody}},
		{"message", 300, []error{said}},
		{"padding", 0, []error{ErrBody}},
	}, func(b []byte) error {
		r, err := Parse(sealRaw(t, s, b))
		if err != nil {
			return err
		}
		got, err := c.Open(nil, r)
		if err != nil {
			return err
		}
		if got.Created != good.Created || got.Kind != good.Kind || got.Auth.Kind != good.Auth.Kind ||
			!bytes.Equal(got.Auth.Block, good.Auth.Block) || !bytes.Equal(got.Message, good.Message) {
			return said
		}
		return nil
	})
	for what, b := range map[string][]byte{
		"less padding":            body[:len(body)-1],
		"more padding":            append(bytes.Clone(body), 0),
		"padding of a class more": append(bytes.Clone(body), make([]byte, 16)...),
		"nothing":                 make([]byte, 256)[:255],
	} {
		r, err := Parse(sealRaw(t, s, b))
		if err != nil {
			if what == "nothing" {
				continue // shorter than any
			}
			t.Fatal(err)
		}
		if _, err := c.Open(nil, r); !errors.Is(err, ErrBody) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestEachByteOfACallersSignatureCounts(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))
	h, enc, now := domain.Hash{1}, pattern(97), testTime
	auth, err := SignatureAuth(key, "batch-1", h, enc, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(a Auth, h domain.Hash, enc []byte, now time.Time) error {
		s, err := a.Signature()
		if err != nil {
			return err
		}
		return s.Verify([32]byte(key.Public().(ed25519.PublicKey)), h, enc, now)
	}
	all := []part{{"block", 0, []error{ErrAuth}}}
	flip(t, auth.Block, all, func(b []byte) error { return verify(Auth{AuthSignature, b}, h, enc, now) })
	flip(t, enc, all, func(b []byte) error { return verify(auth, h, b, now) })
	flip(t, h[:], all, func(b []byte) error { return verify(auth, domain.Hash(b), enc, now) })
	for what, err := range map[string]error{
		"at its end":           verify(auth, h, enc, now.Add(time.Hour)),
		"a millisecond before": verify(auth, h, enc, now.Add(time.Hour-time.Millisecond)),
		"over a day ahead":     verify(auth, h, enc, now.Add(time.Hour-MaxSignature-time.Millisecond)),
		"a day ahead":          verify(auth, h, enc, now.Add(time.Hour-MaxSignature)),
		"a clock before 1970":  verify(auth, h, enc, time.Unix(-1, 0)),
		"another kind":         verify(Auth{AuthKey, auth.Block}, h, enc, now),
		"a byte more":          verify(Auth{AuthSignature, append(bytes.Clone(auth.Block), 0)}, h, enc, now),
		"nothing":              verify(Auth{AuthSignature, nil}, h, enc, now),
	} {
		if good := what == "a day ahead" || what == "a millisecond before"; good != (err == nil) ||
			err != nil && !errors.Is(err, ErrAuth) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestEachByteOfAnAPIKeysBlockIsBounded(t *testing.T) {
	auth, err := KeyAuth("billing", []byte(strings.Repeat("s", MinSecret)))
	if err != nil {
		t.Fatal(err)
	}
	id, secret, err := auth.Key()
	if err != nil || string(id) != "billing" || string(secret) != strings.Repeat("s", MinSecret) {
		t.Fatal(err)
	}
	for what, a := range map[string]Auth{
		"another kind": {AuthToken, auth.Block},
		"a byte more":  {AuthKey, append(bytes.Clone(auth.Block), 0)},
		"a byte less":  {AuthKey, auth.Block[:len(auth.Block)-1]},
		"nothing":      {AuthKey, nil},
		"no id":        {AuthKey, appendL(appendL(nil, ""), secret)},
		"a slash":      {AuthKey, appendL(appendL(nil, "a/b"), secret)},
		"a long id":    {AuthKey, appendL(appendL(nil, strings.Repeat("a", MaxCaller+1)), secret)},
		"short secret": {AuthKey, appendL(appendL(nil, "a"), secret[1:])},
		"long secret":  {AuthKey, appendL(appendL(nil, "a"), make([]byte, MaxSecret+1))},
	} {
		if _, _, err := a.Key(); !errors.Is(err, ErrAuth) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, err := range []error{
		func() error { _, err := KeyAuth("", secret); return err }(),
		func() error { _, err := KeyAuth("a", secret[1:]); return err }(),
		func() error { _, err := TokenAuth(""); return err }(),
		func() error { _, err := TokenAuth(strings.Repeat("a", MaxAuth+1)); return err }(),
	} {
		if !errors.Is(err, ErrAuth) {
			t.Error(err)
		}
	}
}

func TestRecordsBeforeARequest(t *testing.T) {
	request := []byte("RDS1...")
	b, err := AppendRecord(nil, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = AppendRecord(b, make([]byte, domain.MaxRecord)); err != nil {
		t.Fatal(err)
	}
	records, rest, err := SplitRecords(append(bytes.Clone(b), request...))
	if err != nil || len(records) != 2 || string(records[0]) != "one" || len(records[1]) != domain.MaxRecord ||
		!bytes.Equal(rest, request) {
		t.Errorf("%d records, %d bytes, %v", len(records), len(rest), err)
	}
	one, err := AppendRecord(nil, []byte("x"))
	if err != nil || !bytes.Equal(one, []byte("RDR1\x00\x00\x00\x01x")) {
		t.Errorf("%q, %v", one, err)
	}
	for what, b := range map[string][]byte{
		"no length":    []byte("RDR1\x00\x00\x00"),
		"empty":        []byte("RDR1\x00\x00\x00\x00RDS1"),
		"cut":          one[:len(one)-1],
		"too long":     append([]byte("RDR1\x00\x00\x40\x01"), make([]byte, domain.MaxRecord+1)...),
		"a great many": bytes.Repeat(one, MaxRecords+1),
		"a huge one":   []byte("RDR1\xff\xff\xff\xffxxxx"),
	} {
		if _, _, err := SplitRecords(b); !errors.Is(err, ErrRecords) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := SplitRecords(bytes.Repeat(one, MaxRecords)); err != nil {
		t.Error(err)
	}
	for _, record := range [][]byte{nil, make([]byte, domain.MaxRecord+1)} {
		if _, err := AppendRecord(nil, record); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
	}
}

package envelope

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

var writeVectors = flag.Bool("write-vectors", false, "make testdata/vectors.json, whose encapsulated keys are random: for a new format only")

// vectors are hex and text by name, as the design's are.
type vectors map[string]string

func readVectors(t testing.TB, path string) vectors {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v vectors) hex(t testing.TB, name string) []byte {
	t.Helper()
	b, err := hex.DecodeString(v[name])
	if err != nil || v[name] == "" {
		t.Fatalf("no vector %s: %v", name, err)
	}
	return b
}

// open opens the domain of a file of vectors of package domain.
func (v vectors) open(t testing.TB) *domain.Keys {
	t.Helper()
	k, err := domain.OpenKeys(v.hex(t, "descriptor"), v.hex(t, "domain_secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Destroy)
	return k
}

const (
	designFile = "../domain/testdata/vectors.json" // request keys of P-384 and X-Wing
	moreFile   = "../domain/testdata/more.json"    // of P-256 and P-521
)

// context derives the context of a request with the domain's key.
func contextOf(t testing.TB, k *domain.Keys, raw []byte) (Request, Context) {
	t.Helper()
	r, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	h := k.Hash()
	if !bytes.Equal(r.Domain, h[:NameSize]) {
		t.Fatal("another domain is named")
	}
	key, err := k.RequestKey(r.Suite)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Destroy()
	c, err := Derive(make([]byte, ContextSize), key, h, r.Enc)
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// senderOf is the sender that made a request: it has the same secrets as the context.
func senderOf(t testing.TB, k *domain.Keys, r Request, c Context) (*Sender, Pending) {
	t.Helper()
	mem, err := secret.NewFrom(bytes.Clone(c.mem))
	if err != nil {
		t.Fatal(err)
	}
	s := &Sender{suite: r.Suite, hash: k.Hash(), enc: r.Enc, mem: mem, made: testTime}
	t.Cleanup(s.Destroy)
	return s, Pending{salt: [SaltSize]byte(r.Salt()), tag: [16]byte(r.Tag())}
}

var testTime = time.UnixMilli(1_764_370_000_000)

// The design's own vectors: requests and answers of 256 bytes, signed by a caller's key.
func TestTheDesignsRequestsAndAnswersAreTheVectors(t *testing.T) {
	v := readVectors(t, designFile)
	k := v.open(t)
	for suite, name := range map[sealed.Suite]string{sealed.P384: "2", sealed.XWing: "4"} {
		raw := v.hex(t, "sealed_request_"+name)
		r, c := contextOf(t, k, raw)
		body, err := c.Open(nil, r)
		if err != nil || r.Suite != suite || string(body.Message) != "message" || body.Auth.Kind != AuthSignature {
			t.Fatalf("%v: %v", suite, err)
		}
		s, err := body.Auth.Signature()
		if err != nil {
			t.Fatal(err)
		}
		at := time.UnixMilli(int64(s.NotAfter) - 1)
		if err := s.Verify([32]byte(v.hex(t, "caller_public")), k.Hash(), r.Enc, at); err != nil {
			t.Errorf("%v: %v", suite, err)
		}
		sender, p := senderOf(t, k, r, c)
		again, p2, err := sender.seal(nil, p.salt, &body)
		if err != nil || !bytes.Equal(again, raw) || p2 != p {
			t.Errorf("%v: sealed again it differs: %v", suite, err)
		}
		sealedAnswer := v.hex(t, "sealed_answer_"+name)
		a, err := sender.Open(nil, p, sealedAnswer)
		if err != nil || string(a.Message) != "answer" || a.Policy != 7 || a.Kind != 2 || a.Receipt != nil {
			t.Fatalf("%v: %v", suite, err)
		}
		out, err := c.seal(nil, [SaltSize]byte(sealedAnswer), r, &a)
		if err != nil || !bytes.Equal(out, sealedAnswer) {
			t.Errorf("%v: the answer sealed again differs: %v", suite, err)
		}
	}
}

// exchange is a request and its answer, as vectors.json (made here) and python.json (made by check.py) have them.
type exchange struct {
	Name     string `json:"name"`
	Domain   string `json:"domain"` // the file of package domain
	Created  uint64 `json:"created"`
	AuthKind uint8  `json:"auth_kind"`
	Auth     string `json:"auth"`
	Kind     uint8  `json:"kind"`
	Message  string `json:"message"`
	Request  string `json:"request"`
	ID       string `json:"id"`

	Time          uint64 `json:"time"`
	Policy        uint32 `json:"policy"`
	AnswerKind    uint8  `json:"answer_kind"`
	AnswerMessage string `json:"answer_message"`
	Receipt       string `json:"receipt"`
	Answer        string `json:"answer"`
}

func readExchanges(t testing.TB, path string) (all []exchange) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &all); err != nil || len(all) == 0 {
		t.Fatal(err, len(all))
	}
	return all
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (x *exchange) receipt(t testing.TB) *Receipt {
	if x.Receipt == "" {
		return nil
	}
	raw := unhex(t, x.Receipt)
	r := &Receipt{Boot: [16]byte(raw), Leaf: [32]byte(raw[24:])}
	for _, b := range raw[16:24] {
		r.Index = r.Index<<8 | uint64(b)
	}
	return r
}

func TestExchangesAreTheVectors(t *testing.T) {
	for _, file := range []string{"testdata/vectors.json", "testdata/python.json"} {
		suites := map[sealed.Suite]bool{}
		for _, x := range readExchanges(t, file) {
			t.Run(x.Name, func(t *testing.T) {
				k := readVectors(t, "../domain/testdata/"+x.Domain).open(t)
				raw := unhex(t, x.Request)
				r, c := contextOf(t, k, raw)
				suites[r.Suite] = true
				id := r.ID()
				if hex.EncodeToString(id[:]) != x.ID {
					t.Error("another ID")
				}
				body, err := c.Open(nil, r)
				if err != nil {
					t.Fatal(err)
				}
				if body.Created != x.Created || body.Kind != x.Kind || uint8(body.Auth.Kind) != x.AuthKind ||
					!bytes.Equal(body.Auth.Block, unhex(t, x.Auth)) || !bytes.Equal(body.Message, unhex(t, x.Message)) {
					t.Error("another body")
				}
				sender, p := senderOf(t, k, r, c)
				if again, _, err := sender.seal(nil, p.salt, &body); err != nil || !bytes.Equal(again, raw) {
					t.Errorf("sealed again it differs: %v", err)
				}
				answer := unhex(t, x.Answer)
				a, err := sender.Open(nil, p, answer)
				if err != nil {
					t.Fatal(err)
				}
				want := x.receipt(t)
				if a.Time != x.Time || a.Policy != x.Policy || a.Kind != x.AnswerKind ||
					!bytes.Equal(a.Message, unhex(t, x.AnswerMessage)) || (a.Receipt == nil) != (want == nil) ||
					want != nil && *want != *a.Receipt {
					t.Error("another answer")
				}
				if again, err := c.seal(nil, [SaltSize]byte(answer), r, &a); err != nil || !bytes.Equal(again, answer) {
					t.Errorf("the answer sealed again differs: %v", err)
				}
			})
		}
		if len(suites) != len(sealed.DomainSuites()) {
			t.Errorf("%s has requests of %d suites", file, len(suites))
		}
	}
}

func TestARefusalIsTheVector(t *testing.T) {
	for _, x := range readExchanges(t, "testdata/vectors.json") {
		if x.AnswerKind != KindRefusal {
			continue
		}
		want := Refusal{Code: 20, RetryAfter: 1500 * time.Millisecond, Text: "domain is unknown here", Detail: "53be35239aed"}
		r, err := ParseRefusal(unhex(t, x.AnswerMessage))
		if err != nil || r != want {
			t.Errorf("%+v, %v", r, err)
		}
		if b, err := r.Append(nil); err != nil || hex.EncodeToString(b) != x.AnswerMessage {
			t.Error(err)
		}
		return
	}
	t.Error("no vector has a refusal")
}

// TestVectorsAreMade does nothing unless it is asked to.
func TestVectorsAreMade(t *testing.T) {
	if !*writeVectors {
		return
	}
	var all []exchange
	caller := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	now := testTime
	for i, c := range []struct {
		name, file string
		suite      sealed.Suite
		message    int
		answer     int
		refuse     bool
	}{
		{"nobody, P-256, an empty message", "more.json", sealed.P256, 0, 0, false},
		{"API key, P-521, over 256 bytes", "more.json", sealed.P521, 700, 5000, false},
		{"token, X-Wing, a refusal", "vectors.json", sealed.XWing, 100, 0, true},
		{"signature, P-384, a receipt", "vectors.json", sealed.P384, 240, 9000, false},
	} {
		v := readVectors(t, "../domain/testdata/"+c.file)
		k := v.open(t)
		s, err := NewSender(v.hex(t, "descriptor"), c.suite, now)
		if err != nil {
			t.Fatal(err)
		}
		var auth Auth
		switch i {
		case 1:
			auth, err = KeyAuth("billing", []byte("sixteen bytes at least"))
		case 2:
			auth, err = TokenAuth("aa.bb.cc")
		case 3:
			auth, err = SignatureAuth(caller, "batch-1", k.Hash(), s.Enc(), now.Add(time.Hour))
		}
		if err != nil {
			t.Fatal(err)
		}
		body := Body{Created: uint64(now.UnixMilli()), Auth: auth, Kind: uint8(3 + i), Message: pattern(c.message)}
		raw, _, err := s.Seal(nil, &body, now)
		if err != nil {
			t.Fatal(err)
		}
		r, ctx := contextOf(t, k, raw)
		a := Answer{Time: uint64(now.UnixMilli()) + 5, Policy: uint32(i), Kind: uint8(4 + i), Message: pattern(c.answer)}
		if c.refuse {
			a.Kind = KindRefusal
			f := Refusal{Code: 20, RetryAfter: 1500 * time.Millisecond, Text: "domain is unknown here", Detail: "53be35239aed"}
			a.Message, err = f.Append(nil)
		}
		x := exchange{
			Name: c.name, Domain: c.file, Created: body.Created, AuthKind: uint8(auth.Kind), Kind: body.Kind,
			Auth: hex.EncodeToString(auth.Block), Message: hex.EncodeToString(body.Message), Request: hex.EncodeToString(raw),
			Time: a.Time, Policy: a.Policy, AnswerKind: a.Kind, AnswerMessage: hex.EncodeToString(a.Message),
		}
		if i == 3 {
			x.Receipt = hex.EncodeToString(pattern(receiptSize))
			a.Receipt = x.receipt(t)
		}
		answer, err2 := ctx.Seal(nil, r, &a)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		id := r.ID()
		x.ID, x.Answer = hex.EncodeToString(id[:]), hex.EncodeToString(answer)
		all = append(all, x)
	}
	data, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/vectors.json", append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pattern gives n bytes that are not all alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

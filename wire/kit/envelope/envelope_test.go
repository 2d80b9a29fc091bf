package envelope

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"redoubt/wire/kit/domain"
	"redoubt/wire/kit/sealed"
	"redoubt/wire/kit/secret"
)

// newSenderOf makes a sender to one of the domains of the vectors.
func newSenderOf(t testing.TB, suite sealed.Suite) (*domain.Keys, *Sender) {
	t.Helper()
	file := designFile
	if suite == sealed.P256 || suite == sealed.P521 {
		file = moreFile
	}
	v := readVectors(t, file)
	s, err := NewSender(v.hex(t, "descriptor"), suite, testTime)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Destroy)
	return v.open(t), s
}

func TestWhatIsSealedOpensInAnyOrder(t *testing.T) {
	for _, suite := range sealed.DomainSuites() {
		k, s := newSenderOf(t, suite)
		o := newOpener(k)
		rapid.Check(t, func(t *rapid.T) {
			body := Body{
				Created: rapid.Uint64().Draw(t, "created"), Kind: rapid.Uint8().Draw(t, "kind"),
				Auth:    Auth{AuthKind(rapid.Uint8().Draw(t, "auth kind")), rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "auth")},
				Message: rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "message"),
			}
			first, p1, err := s.Seal([]byte("before"), &body, testTime)
			if err != nil {
				t.Fatal(err)
			}
			second, _, err := s.Seal(nil, &body, testTime)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(first[6:], second) || string(first[:6]) != "before" {
				t.Fatal("two requests are equal")
			}
			want := bodySize(bodyRoom + len(body.Auth.Block) + len(body.Message))
			if len(second) != fixed+suite.EncSize()+want+sealed.TagSize {
				t.Fatalf("%d bytes", len(second))
			}
			for _, raw := range [][]byte{second, first[6:]} {
				got, err := o.open(raw)
				if err != nil || got.Created != body.Created || got.Kind != body.Kind || got.Auth.Kind != body.Auth.Kind ||
					!bytes.Equal(got.Auth.Block, body.Auth.Block) || !bytes.Equal(got.Message, body.Message) {
					t.Fatalf("another body: %v", err)
				}
			}
			r, err := Parse(first[6:])
			if err != nil {
				t.Fatal(err)
			}
			c, err := o.context(r)
			if err != nil {
				t.Fatal(err)
			}
			a := Answer{
				Time: rapid.Uint64().Draw(t, "time"), Policy: rapid.Uint32().Draw(t, "policy"), Kind: rapid.Uint8().Draw(t, "answer kind"),
				Message: rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "answer"),
			}
			if rapid.Bool().Draw(t, "receipt") {
				a.Receipt = &Receipt{Boot: [16]byte{1}, Index: rapid.Uint64().Draw(t, "index"), Leaf: [32]byte{2}}
			}
			inPlace, err := c.OpenInPlace(r)
			if err != nil || !bytes.Equal(inPlace.Message, body.Message) {
				t.Fatal(err)
			}
			out, err := c.Seal([]byte("x"), r, &a) // after the request was opened in place
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.OpenInPlace(p1, out[1:])
			if err != nil || got.Time != a.Time || got.Policy != a.Policy || got.Kind != a.Kind ||
				!bytes.Equal(got.Message, a.Message) || (got.Receipt == nil) != (a.Receipt == nil) ||
				a.Receipt != nil && *got.Receipt != *a.Receipt {
				t.Fatalf("another answer: %v", err)
			}
			got.Wipe()
			inPlace.Wipe()
			if bytes.ContainsFunc(append(got.Message, inPlace.Message...), func(r rune) bool { return r != 0 }) {
				t.Fatal("not wiped")
			}
		})
	}
}

// Sizes tell the class of a length alone: a refusal is as long as an answer.
func TestRequestsAndAnswersArePadded(t *testing.T) {
	k, s := newSenderOf(t, sealed.P384)
	o, sizes := newOpener(k), map[int]bool{}
	for n := range 200 {
		raw, _, err := s.Seal(nil, &Body{Message: make([]byte, n)}, testTime)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		c, err := o.context(r)
		if err != nil {
			t.Fatal(err)
		}
		refusal, err := (&Refusal{Code: 1, Text: strings.Repeat("x", n)}).Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.Seal(nil, r, &Answer{Kind: KindRefusal, Message: refusal})
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(raw)], sizes[-len(out)] = true, true
	}
	if len(sizes) != 2 {
		t.Errorf("%d sizes, want one of requests and one of answers", len(sizes))
	}
	for l, want := range map[int]int{0: 256, 1: 256, 256: 256, 257: 272, 272: 272, 273: 288, 511: 512, 1000: 1024, 100_000: 100_352} {
		if n := bodySize(l); n != want {
			t.Errorf("%d bytes: %d, want %d", l, n, want)
		}
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	k, s := newSenderOf(t, sealed.P384)
	room := MaxRequest - fixed - sealed.P384.EncSize() - sealed.TagSize
	size := room
	for bodySize(size) > room {
		size--
	}
	most := size - bodyRoom
	raw, _, err := s.Seal(nil, &Body{Message: make([]byte, most)}, testTime)
	if err != nil || len(raw) > MaxRequest {
		t.Fatal(err, len(raw))
	}
	r, c := contextOf(t, k, raw)
	if _, err := c.Open(nil, r); err != nil {
		t.Error(err)
	}
	for what, b := range map[string]*Body{
		"a byte more": {Message: make([]byte, most+1)}, "huge": {Message: make([]byte, MaxRequest+1)},
		"auth": {Auth: Auth{AuthToken, make([]byte, MaxAuth+1)}},
	} {
		if out, _, err := s.Seal([]byte("x"), b, testTime); !errors.Is(err, ErrTooLarge) || string(out) != "x" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if out, err := c.Seal([]byte("x"), r, &Answer{Message: make([]byte, MaxAnswer)}); !errors.Is(err, ErrTooLarge) || string(out) != "x" {
		t.Error(err)
	}
	if _, err := c.Seal(nil, r, &Answer{Message: make([]byte, MaxAnswer-200_000)}); err != nil {
		t.Error(err)
	}
	for _, f := range []Refusal{
		{Text: strings.Repeat("x", MaxText+1)},
		{Detail: strings.Repeat("x", MaxText+1)},
		{RetryAfter: -time.Second},
		{RetryAfter: 1000 * time.Hour * 24},
	} {
		if _, err := f.Append(nil); !errors.Is(err, ErrTooLarge) {
			t.Error(err)
		}
	}
}

func TestRefusalsHaveOneForm(t *testing.T) {
	good, err := (&Refusal{Code: 9, RetryAfter: time.Second, Text: "no", Detail: "d"}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := ParseRefusal(good[:n]); !errors.Is(err, ErrAnswer) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	long := appendL(appendL(make([]byte, 6), strings.Repeat("x", MaxText+1)), "")
	for _, b := range [][]byte{append(bytes.Clone(good), 0), long} {
		if _, err := ParseRefusal(b); !errors.Is(err, ErrAnswer) {
			t.Error(err)
		}
	}
}

// The same time is judged by the enclave's clock, both ways.
func TestARequestOfAnotherTimeIsRefused(t *testing.T) {
	now := testTime
	for off, good := range map[time.Duration]bool{
		0: true, MaxSkew: true, -MaxSkew: true, MaxSkew + time.Millisecond: false, -MaxSkew - time.Millisecond: false,
	} {
		b := Body{Created: uint64(now.Add(off).UnixMilli())}
		if err := b.CheckTime(now); good != (err == nil) || err != nil && !errors.Is(err, ErrSkew) {
			t.Errorf("%v: %v", off, err)
		}
	}
	for _, created := range []uint64{0, 1<<64 - 1} {
		if err := (&Body{Created: created}).CheckTime(now); !errors.Is(err, ErrSkew) {
			t.Errorf("%d: %v", created, err)
		}
	}
}

func TestASenderIsOfOneDomainAndHour(t *testing.T) {
	v := readVectors(t, designFile)
	for what, c := range map[string]struct {
		descriptor []byte
		suite      sealed.Suite
		want       error
	}{
		"no such request key": {v.hex(t, "descriptor"), sealed.P256, ErrKey},
		"no suite":            {v.hex(t, "descriptor"), 0, ErrKey},
		"no descriptor":       {nil, sealed.P384, domain.ErrDescriptor},
	} {
		if _, err := NewSender(c.descriptor, c.suite, testTime); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	k, s := newSenderOf(t, sealed.XWing)
	if s.Hash() != k.Hash() || len(s.Enc()) != sealed.XWing.EncSize() {
		t.Error("not the domain's")
	}
	for at, want := range map[time.Duration]error{
		MaxAge - 1: nil, MaxAge: ErrSpent, -MaxSkew: nil, -MaxSkew - 1: ErrSpent,
	} {
		if _, _, err := s.Seal(nil, &Body{}, testTime.Add(at)); !errors.Is(err, want) {
			t.Errorf("after %v: %v, want %v", at, err, want)
		}
	}
	raw, p, err := s.Seal(nil, &Body{}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	r, c := contextOf(t, k, raw)
	answer, err := c.Seal(nil, r, &Answer{})
	if err != nil {
		t.Fatal(err)
	}
	s.Destroy()
	s.Destroy()
	if _, _, err := s.Seal(nil, &Body{}, testTime); !errors.Is(err, ErrSpent) {
		t.Errorf("sealed after Destroy: %v", err)
	}
	if _, err := s.OpenInPlace(p, answer[:3]); !errors.Is(err, ErrAnswer) {
		t.Error(err)
	}
	if _, err := s.Open(nil, p, answer); !errors.Is(err, ErrSpent) {
		t.Errorf("opened after Destroy: %v", err)
	}
}

// A counter and random bytes: neither a failing generator nor a client that forgot its counter repeats a salt alone.
func TestEachRequestHasASaltOfItsOwn(t *testing.T) {
	_, s := newSenderOf(t, sealed.P384)
	seen := map[[8]byte]bool{}
	for want := uint64(1); want < 100; want++ {
		_, p, err := s.Seal(nil, &Body{}, testTime)
		if err != nil {
			t.Fatal(err)
		}
		var n uint64
		for _, b := range p.salt[:8] {
			n = n<<8 | uint64(b)
		}
		if random := [8]byte(p.salt[8:]); n != want || seen[random] {
			t.Fatalf("salt %d is %x", want, p.salt)
		} else {
			seen[random] = true
		}
	}
}

// signer is a caller's key that is kept elsewhere.
type signer struct {
	public crypto.PublicKey
	sign   func(message []byte) ([]byte, error)
}

func (s signer) Public() crypto.PublicKey { return s.public }
func (s signer) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.sign(message)
}

func TestACallersKeyThatCannotSignIsFoundBeforeARequestIsSent(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := signer{public, func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil }}
	for what, c := range map[string]struct {
		s    crypto.Signer
		id   string
		at   time.Time
		want error
	}{
		"good":            {good, "a", testTime, nil},
		"another curve":   {curve, "a", testTime, ErrSigner},
		"a refusal":       {signer{public, func([]byte) ([]byte, error) { return nil, io.EOF }}, "a", testTime, ErrSigner},
		"a short one":     {signer{public, func([]byte) ([]byte, error) { return make([]byte, 63), nil }}, "a", testTime, ErrSigner},
		"a wrong one":     {signer{public, func([]byte) ([]byte, error) { return make([]byte, 64), nil }}, "a", testTime, ErrSigner},
		"a short public":  {signer{public[:31], good.sign}, "a", testTime, ErrSigner},
		"an id with star": {good, "a*", testTime, ErrAuth},
		"no id":           {good, "", testTime, ErrAuth},
		"before 1970":     {good, "a", time.Unix(-1, 0), ErrAuth},
	} {
		if _, err := SignatureAuth(c.s, c.id, domain.Hash{}, nil, c.at); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func TestReplaysCountOnceWithinTheWindow(t *testing.T) {
	table := NewReplays(1000)
	now := testTime
	id := func(n int) (id ID) { id[0], id[15] = byte(n>>8), byte(n); id[7] = byte(n); return id }
	for n := range 500 {
		if !table.First(id(n), now) {
			t.Fatalf("%d came before", n)
		}
	}
	again := 0
	for n := range 500 {
		if !table.First(id(n), now.Add(ReplayWindow)) {
			again++
		}
	}
	if again < 450 { // sets that overflow forget their oldest
		t.Errorf("%d of 500 are remembered", again)
	}
	if !table.First(id(0), now.Add(2*ReplayWindow+2*time.Second)) {
		t.Error("remembered for ever")
	}
	// Of a full set the oldest is forgotten, and no other.
	one := NewReplays(1)
	for n := range replayWays {
		one.First(id(n), now.Add(time.Duration(n)*time.Second))
	}
	one.First(id(99), now.Add(time.Minute))
	for n := replayWays - 1; n > 0; n-- {
		if one.First(id(n), now.Add(time.Minute)) {
			t.Errorf("%d is forgotten", n)
		}
	}
	if !one.First(id(0), now.Add(time.Minute)) {
		t.Error("the oldest is remembered")
	}
	if n := testing.AllocsPerRun(100, func() { table.First(id(3), now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// The set is a power of two, whose locks are fewer.
func TestReplaysAreSafeForManyGoroutines(t *testing.T) {
	table := NewReplays(10_000)
	results := make(chan int, 8)
	for range 8 {
		go func() {
			n := 0
			for i := range 1000 {
				if table.First(ID{byte(i >> 8), 7: byte(i)}, testTime) {
					n++
				}
			}
			results <- n
		}()
	}
	total := 0
	for range 8 {
		total += <-results
	}
	if total != 1000 {
		t.Errorf("%d requests were new, want 1000", total)
	}
}

func TestNothingSecretIsPrinted(t *testing.T) {
	k, s := newSenderOf(t, sealed.P384)
	raw, _, err := s.Seal(nil, &Body{}, testTime)
	if err != nil {
		t.Fatal(err)
	}
	_, c := contextOf(t, k, raw)
	auth, err := KeyAuth("a", []byte("SENTINELSENTINEL"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{c, s, auth, &Body{Auth: auth}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		out := fmt.Sprintf("%v %+v %#v %s %x", v, v, v, v, v) + string(text) + log.String()
		if strings.Contains(out, "SENTINEL") || strings.Contains(out, fmt.Sprintf("%x", "SENTINEL")) ||
			!strings.Contains(out, secret.Redacted) {
			t.Errorf("%T: %s", v, out)
		}
	}
}

func FuzzParse(f *testing.F) {
	v := readVectors(f, designFile)
	k := v.open(f)
	f.Add(v.hex(f, "sealed_request_2"))
	f.Add(v.hex(f, "sealed_request_4"))
	f.Add(append([]byte("RDR1\x00\x00\x00\x01x"), v.hex(f, "sealed_request_2")...))
	good := map[string]bool{v["sealed_request_2"]: true, v["sealed_request_4"]: true}
	f.Fuzz(func(t *testing.T, data []byte) {
		records, raw, err := SplitRecords(data)
		if err != nil {
			return
		}
		total := len(raw)
		for _, r := range records {
			total += recordHead + len(r)
		}
		if total != len(data) {
			t.Fatal("bytes are missing")
		}
		r, err := Parse(raw)
		if err != nil {
			return
		}
		if n := r.head + len(r.whole[r.head:]); n != len(raw) || len(r.Enc) != r.Suite.EncSize() {
			t.Fatal("parts that are not the whole")
		}
		if _, err := newOpener(k).open(raw); err == nil && !good[fmt.Sprintf("%x", raw)] {
			t.Fatal("a request that nobody made opens")
		}
	})
}

func FuzzBody(f *testing.F) {
	b := Body{Auth: Auth{1, []byte("x")}, Message: []byte("y")}
	f.Add(b.append(make([]byte, 0, 256), 256))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBody(data)
		if err != nil {
			return
		}
		size, err := b.size()
		if err != nil || !bytes.Equal(b.append(make([]byte, 0, size), size), data) {
			t.Fatal("a body has two encodings", err)
		}
		_, _, _ = b.Auth.Key()
		_, _ = b.Auth.Signature()
	})
}

func FuzzAnswer(f *testing.F) {
	a := Answer{Message: []byte("y"), Receipt: &Receipt{}}
	f.Add(a.append(make([]byte, 0, 256), 256))
	f.Add((&Answer{}).append(make([]byte, 0, 256), 256))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseAnswer(data)
		if err != nil {
			return
		}
		size, err := a.size()
		if err != nil || !bytes.Equal(a.append(make([]byte, 0, size), size), data) {
			t.Fatal("an answer has two encodings", err)
		}
		if r, err := ParseRefusal(a.Message); err == nil {
			if again, err := r.Append(nil); err != nil || !bytes.Equal(again, a.Message) {
				t.Fatal("a refusal has two encodings", err)
			}
		}
	})
}

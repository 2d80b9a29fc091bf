//go:build attack

package attack

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"redoubt/wire"
	"redoubt/wire/yamuxframe"
)

const root = "../../../" // of the module

// kindMessages are the message types, as wire's vectors name them, by the kind of their frames.
var kindMessages = map[string]string{
	"KindDecrypt": "DecryptRequest", "KindDecrypted": "DecryptResponse", "KindHello": "Hello", "KindCredentials": "Credentials",
	"KindPurge": "Purge", "KindPurged": "Purged", "KindPing": "Ping", "KindPong": "Pong", "KindStatsRequest": "", "KindStats": "Stats",
	"KindAttest": "AttestRequest", "KindAttested": "AttestResponse", "KindLog": "Log", "KindGoAway": "GoAway", "KindError": "ErrorBody",
	"KindAck": "", "KindDomain": "DomainRecord",
	"KindCreateDomain": "CreateDomainRequest", "KindCreatedDomain": "CreateDomainResponse",
	"KindWrapDomain": "WrapDomainRequest", "KindWrappedDomain": "WrapDomainResponse",
	"KindMint": "MintRequest", "KindMinted": "MintResponse", "KindReseal": "ResealRequest", "KindResealed": "ResealResponse",
}

// number is a row of wire/testdata/numbers.txt.
type number struct {
	family, name string
	value        uint64
}

// numbers are all numbers of the protocol.
func numbers(t testing.TB) (out []number) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "wire/testdata/numbers.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, err := strconv.ParseUint(f[1], 0, 64)
		if err != nil {
			continue // of another base
		}
		out = append(out, number{f[0], f[2], n})
	}
	return out
}

// protocol is what the product's tables say of lanes and control streams.
type protocol struct {
	kinds   map[string]wire.Kind // by name
	names   []string             // sorted
	streams []byte               // types of streams
	vectors map[string][][]byte  // bodies by type of message, valid and invalid ones
}

var readProtocol = sync.OnceValue(func() *protocol {
	p := &protocol{kinds: map[string]wire.Kind{}, vectors: map[string][][]byte{}}
	for _, n := range numbers(fatal{}) {
		switch n.family {
		case "wire.Kind":
			p.kinds[n.name] = wire.Kind(n.value)
			p.names = append(p.names, n.name)
		case "session.streamType":
			p.streams = append(p.streams, byte(n.value))
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "wire/testdata/vectors.json"))
	if err != nil {
		panic(err)
	}
	var all []struct{ Type, Hex string }
	if err := json.Unmarshal(text, &all); err != nil {
		panic(err)
	}
	for _, v := range all {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			panic(err)
		}
		p.vectors[v.Type] = append(p.vectors[v.Type], b)
	}
	slices.Sort(p.names)
	return p
})

// fatal is a testing.TB for what runs once for all tests.
type fatal struct{ testing.TB }

func (fatal) Helper()           {}
func (fatal) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// mux gives a frame of yamux with a header of which each part may be another.
func (g *gen) mux(kind yamuxframe.Kind, flags yamuxframe.Flags, stream uint32, length int, body []byte) []byte {
	h := yamuxframe.Header{
		Version: uint8(g.num(0, 255)), Kind: yamuxframe.Kind(g.num(uint64(kind), 3)), Flags: yamuxframe.Flags(g.num(uint64(flags), 15)),
		Stream: uint32(g.num(uint64(stream), 1<<31)), Length: uint32(g.num(uint64(length), yamuxframe.InitialWindow)),
	}
	return append(yamuxframe.Append(nil, h), g.data(body)...)
}

// stream gives a data frame.
func (g *gen) stream(flags yamuxframe.Flags, stream uint32, body ...[]byte) []byte {
	all := slices.Concat(body...)
	return g.mux(yamuxframe.Data, flags, stream, len(all), all)
}

func preamble(kind byte) []byte { return []byte{'R', 'd', kind, 0} }

// frame gives a frame of a lane or of the control stream.
func (g *gen) frame(kind wire.Kind, id uint64, body []byte) (out []byte) {
	body = g.data(body)
	for {
		n := min(len(body), wire.MaxChunk)
		var flags wire.Flags
		if n < len(body) {
			flags = wire.FlagMore
		}
		out = wire.AppendHeader(out, wire.Header{
			Length: uint32(g.num(uint64(n), wire.MaxChunk)), Kind: wire.Kind(g.num(uint64(kind), 255)),
			Flags: flags ^ wire.Flags(g.num(0, 2)), ID: g.num(id, 1<<16), DeadlineMS: uint32(g.num(3000, 1<<31)),
		})
		out = append(out, body[:n]...)
		if body = body[n:]; len(body) == 0 {
			return out
		}
	}
}

// any gives a message of a kind from the table, with one of its vectors.
func (p *protocol) any(g *gen, id uint64, names ...string) []byte {
	name := pick(g, names...)
	var body []byte
	if vectors := p.vectors[kindMessages[name]]; len(vectors) > 0 {
		body = pick(g, vectors...)
	}
	return g.frame(p.kinds[name], id, body)
}

// hello gives the first message of either side, with features but those that it lacks. A hostile parent lacks egress:
// one that the enclave asks for its way to KMS can cause an outage of what is not cached, which SECURITY.md says.
func (g *gen) hello(lacks wire.Features) []byte {
	h := wire.Hello{
		MinVersion: 1, MaxVersion: 1, MaxInFlight: 1000, MaxLanes: 4, MaxBody: wire.MaxBody,
		Features: wire.AllFeatures() & wire.Features(g.num(uint64(wire.AllFeatures()), 1<<62)) &^ lacks,
	}
	return g.frame(wire.KindHello, 0, h.Append(nil))
}

// decrypt gives a request of the attackers' record with hostile expressions.
func (r *rig) decrypt(g *gen) []byte {
	rec := r.record
	m := wire.DecryptRequest{
		VaultID: []byte(rec.VaultID), Region: []byte(rec.Region), WrappedKey: g.data(rec.WrappedKey), Suite: uint8(g.num(uint64(rec.Suite), 3)),
		Encoding: uint8(rec.Encoding), KeyContext: true, IncludeMode: pick(g, wire.IncludeDefault, wire.IncludeListed),
		Compat: g.oneIn(4), ReportAccess: g.oneIn(4),
	}
	for _, name := range order(g, slices.Sorted(maps.Keys(rec.Sealed))) {
		blob, err := base64.StdEncoding.DecodeString(rec.Sealed[name])
		if err != nil {
			panic(err) // it is ours
		}
		m.AddField([]byte(name), g.data(blob))
	}
	for i := range g.IntN(4) {
		m.AddExpression([]byte("x"+strconv.Itoa(i)), []byte(g.expressionOf(pick(g, "first_name", "ssn9", "note"))))
	}
	if g.oneIn(8) {
		m.ReplySuite, m.ReplyKey = uint8(rec.Suite), g.random(120)
	}
	return m.Append(nil)
}

// parentSays gives what a hostile parent says to an enclave, from the first byte on.
func (r *rig) parentSays(g *gen) [][]byte {
	p := readProtocol()
	names := slices.DeleteFunc(slices.Clone(p.names), func(n string) bool { return n == "KindHello" })
	pieces := [][]byte{g.stream(yamuxframe.SYN, 1, preamble(1), g.hello(wire.FeatureEgress))}
	lanes := []uint32{3, 5, 7}[:1+g.IntN(3)]
	for _, l := range lanes {
		pieces = append(pieces, g.stream(yamuxframe.SYN, l, preamble(pick(g, 2, 2, 3, byte(g.num(2, 5))))))
	}
	for range g.IntN(24) {
		l := pick(g, lanes...)
		switch g.IntN(10) {
		case 0, 1, 2:
			pieces = append(pieces, g.stream(0, l, g.frame(wire.KindDecrypt, uint64(g.IntN(100)), r.decrypt(g))))
		case 3, 4:
			pieces = append(pieces, g.stream(0, l, p.any(g, uint64(g.IntN(100)), names...)))
		case 5, 6, 7:
			pieces = append(pieces, g.stream(0, 1, p.any(g, uint64(g.IntN(100)), names...)))
		default:
			pieces = append(pieces, g.noise(l))
		}
	}
	return order(g, pieces)
}

// noise gives a frame of yamux that carries nothing of ours.
func (g *gen) noise(stream uint32) []byte {
	switch g.IntN(6) {
	case 0:
		return g.mux(yamuxframe.Ping, pick(g, yamuxframe.SYN, yamuxframe.ACK), 0, g.IntN(1<<20), nil)
	case 1:
		return g.mux(yamuxframe.Window, pick[yamuxframe.Flags](g, 0, 0, yamuxframe.FIN, yamuxframe.RST), stream, g.IntN(1<<20), nil)
	case 2:
		return g.mux(yamuxframe.GoAway, 0, 0, g.IntN(3), nil)
	case 3:
		return g.mux(yamuxframe.Window, yamuxframe.SYN, uint32(2+g.IntN(30)), 0, nil)
	case 4: // a flood
		one := g.mux(pick(g, yamuxframe.Ping, yamuxframe.Window, yamuxframe.Data), pick[yamuxframe.Flags](g, 0, yamuxframe.SYN, yamuxframe.RST),
			pick(g, 0, 1, stream, 1001), 0, nil)
		return slices.Repeat(one, 1<<g.IntN(12))
	default:
		return g.random(g.IntN(64))
	}
}

// TestAttackEnclave is a hostile parent: frames of yamux, lanes and control messages on the enclave's socket.
func TestAttackEnclave(t *testing.T) {
	r := shared.get(t)
	socket := filepath.Join(r.state, "enclave.sock")
	strike(t, r, attack{name: "enclave", round: func(ctx context.Context, a *arena, g *gen) error {
		_, err := a.speak(ctx, g, "unix", socket, r.parentSays(g))
		return err
	}})
}

// messages reads the frames that a peer sent on a session's streams, and counts them by kind.
func messages(heard []byte) map[wire.Kind][][]byte {
	streams := map[uint32][]byte{}
	for len(heard) >= yamuxframe.HeaderSize {
		h := yamuxframe.Parse(heard)
		heard = heard[yamuxframe.HeaderSize:]
		if h.Kind == yamuxframe.Data {
			n := min(int(h.Length), len(heard))
			streams[h.Stream] = append(streams[h.Stream], heard[:n]...)
			heard = heard[n:]
		}
	}
	out := map[wire.Kind][][]byte{}
	for _, b := range streams {
		for {
			h, err := wire.ParseHeader(b)
			if err != nil || len(b) < wire.HeaderSize+int(h.Length) {
				break
			}
			out[h.Kind] = append(out[h.Kind], b[wire.HeaderSize:wire.HeaderSize+int(h.Length)])
			b = b[wire.HeaderSize+int(h.Length):]
		}
	}
	return out
}

// TestTheGrammarOfSessionsIsUnderstood: a round without mutations gets as far as opened fields and answers of the control
// stream.
func TestTheGrammarOfSessionsIsUnderstood(t *testing.T) {
	r := shared.get(t)
	a := &arena{rig: r}
	got := map[wire.Kind]int{}
	opened := 0
	mine, err := r.record.Request(nil).JSON()
	if err == nil { // an attack may have purged its key
		err = r.call(t.Context(), "POST", "http://"+r.Addresses.Parent+"/v1/decrypt", mine, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		g := newGen(1, "session", i)
		g.odds = 0
		heard, err := a.speak(t.Context(), g, "unix", filepath.Join(r.state, "enclave.sock"), [][]byte{
			g.stream(yamuxframe.SYN, 1, preamble(1), g.hello(wire.FeatureEgress)), g.stream(yamuxframe.SYN, 3, preamble(2)),
			g.stream(0, 3, g.frame(wire.KindDecrypt, 7, r.decrypt(g))), g.stream(0, 1, readProtocol().any(g, 8, "KindPing", "KindStatsRequest")),
		})
		if err != nil {
			t.Fatal(err)
		}
		for kind, bodies := range messages(heard) {
			got[kind] += len(bodies)
		}
		for _, b := range messages(heard)[wire.KindDecrypted] {
			var m wire.DecryptResponse
			if m.Decode(b) == nil && m.Code == wire.OK {
				opened++
			}
		}
	}
	if opened < 5 || got[wire.KindHello] < 20 || got[wire.KindPong] == 0 || got[wire.KindStats] == 0 {
		t.Errorf("%d requests were opened; the enclave sent %v", opened, got)
	}
	t.Log(opened, got)
}

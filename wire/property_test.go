package wire

import (
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func bytesGen(limit int) *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 0, limit) }

func sizedGen(least, most int) *rapid.Generator[[]byte] {
	return rapid.SliceOfN(rapid.Byte(), least, most)
}

func dataKeysGen(least, most int) *rapid.Generator[[]DataKey] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) DataKey {
		return DataKey{bytesGen(100).Draw(t, "arn"), bytesGen(300).Draw(t, "ciphertext")}
	}), least, most)
}

var vaultKeyGen = rapid.Custom(func(t *rapid.T) VaultKey {
	return VaultKey{
		bytesGen(200).Draw(t, "wrapped"), bytesGen(200).Draw(t, "public"),
		sizedGen(StatementSize, StatementSize).Draw(t, "statement"),
	}
})

// readsGen makes the reads of a report, in order.
var readsGen = rapid.Custom(func(t *rapid.T) []FieldRead {
	reads := []FieldRead{}
	for at := rapid.IntRange(0, 200).Draw(t, "first"); at < MaxReads; at += rapid.IntRange(1, 3000).Draw(t, "step") {
		reads = append(reads, FieldRead{uint16(at / MaxFields), uint16(at % MaxFields), rapid.Bool().Draw(t, "raw")})
	}
	return reads
})

// generators make messages within their limits (smaller than them where size alone is at stake).
var generators = map[string]*rapid.Generator[message]{
	"Header": rapid.Custom(func(t *rapid.T) message {
		return &headerMessage{Header{
			Length: rapid.Uint32Range(MinChunk, MaxChunk).Draw(t, "length"), Kind: Kind(rapid.Byte().Draw(t, "kind")),
			Flags: Flags(rapid.Byte().Draw(t, "flags")), ID: rapid.Uint64().Draw(t, "id"),
			DeadlineMS: rapid.Uint32().Draw(t, "deadline"),
		}}
	}),
	"DecryptRequest": rapid.Custom(func(t *rapid.T) message {
		m := &DecryptRequest{
			VaultID: bytesGen(MaxVaultID).Draw(t, "vault"), Region: bytesGen(MaxRegion).Draw(t, "region"),
			Suite: rapid.Byte().Draw(t, "suite"), Encoding: rapid.Uint8Range(1, 3).Draw(t, "encoding"),
			KeyContext: rapid.Bool().Draw(t, "context"), Compat: rapid.Bool().Draw(t, "compat"),
			IncludeMode: IncludeMode(rapid.Uint8Range(0, 1).Draw(t, "include")),
			WrappedKey:  bytesGen(300).Draw(t, "key"), ReplyKey: bytesGen(100).Draw(t, "reply"),
			CallerToken: bytesGen(100).Draw(t, "token"), ReportAccess: rapid.Bool().Draw(t, "report"),
		}
		if len(m.ReplyKey) > 0 {
			m.ReplySuite = rapid.Byte().Draw(t, "reply suite")
		}
		for range rapid.IntRange(0, 8).Draw(t, "fields") {
			m.AddField(bytesGen(20).Draw(t, "name"), bytesGen(200).Draw(t, "blob")).Include = rapid.Bool().Draw(t, "inc")
		}
		if rapid.Bool().Draw(t, "domain") {
			m.Encoding, m.Region, m.KeyContext = 4, nil, false
			m.Domain = rapid.SliceOfN(rapid.Byte(), DomainNameSize, DomainNameSize).Draw(t, "name")
			n := rapid.IntRange(1, 4).Draw(t, "encs")
			for range n {
				m.Encs = append(m.Encs, bytesGen(200).Draw(t, "enc"))
			}
			for i := range m.Fields {
				m.Fields[i].Enc = uint8(rapid.IntRange(0, n-1).Draw(t, "index"))
			}
		}
		for range rapid.IntRange(0, 8).Draw(t, "expressions") {
			m.AddExpression(bytesGen(20).Draw(t, "name"), bytesGen(200).Draw(t, "source"))
		}
		return m
	}),
	"DecryptResponse": rapid.Custom(func(t *rapid.T) message {
		m := &DecryptResponse{RetryAfterMS: rapid.Uint32().Draw(t, "retry")}
		if m.Code = codeGen.Draw(t, "code"); m.Code != OK {
			return m
		}
		for range rapid.IntRange(0, 10).Draw(t, "results") {
			r := Result{
				Kind: ResultKind(rapid.Uint8Range(1, 2).Draw(t, "kind")), Index: rapid.Uint16Range(0, 99).Draw(t, "index"),
				Code: codeGen.Draw(t, "code"),
			}
			if r.Code == OK {
				r.ValueKind = rapid.SampledFrom([]ValueKind{ValueAbsent, ValueString, ValueJSON, ValueSealed}).Draw(t, "value kind")
			}
			if r.ValueKind != ValueAbsent {
				r.Value = bytesGen(300).Draw(t, "value")
			}
			m.Add(r)
		}
		for range rapid.IntRange(0, 5).Draw(t, "failures") {
			m.Failures = append(m.Failures, Failure{
				Index: rapid.Uint16Range(0, MaxExpressions-1).Draw(t, "of"),
				Kind:  ExpressionKind(rapid.Uint8Range(1, uint8(expressionKinds)-1).Draw(t, "why")),
				Line:  rapid.Uint32().Draw(t, "line"), Column: rapid.Uint32().Draw(t, "column"),
			})
		}
		if m.AccessReported = rapid.Bool().Draw(t, "reported"); m.AccessReported {
			m.Reads = readsGen.Draw(t, "reads")
		}
		return m
	}),
	"Hello": rapid.Custom(func(t *rapid.T) message {
		low := rapid.Uint16Range(1, 100).Draw(t, "min")
		m := &Hello{
			MinVersion: low, MaxVersion: rapid.Uint16Min(low).Draw(t, "max"),
			Features: Features(rapid.Uint64().Draw(t, "features")),
			StartMS:  rapid.Int64().Draw(t, "start"), MaxInFlight: rapid.Uint32().Draw(t, "flight"),
			MaxLanes: rapid.Uint32().Draw(t, "lanes"), MaxBody: rapid.Uint32().Draw(t, "body"),
			BuildID: bytesGen(MaxBuildID).Draw(t, "build"), EnclaveID: bytesGen(MaxEnclaveID).Draw(t, "id"),
		}
		for range rapid.IntRange(0, 5).Draw(t, "pcrs") {
			v := rapid.SliceOfN(rapid.Byte(), 1, MaxPCR).Draw(t, "pcr")
			m.PCRs = append(m.PCRs, PCR{Index: rapid.Uint8Range(0, 31).Draw(t, "index"), Value: v})
		}
		return m
	}),
	"Credentials": rapid.Custom(func(t *rapid.T) message {
		return &Credentials{
			AccessKeyID: rapid.SliceOfN(rapid.Byte(), 1, MaxCredential).Draw(t, "id"),
			Secret:      rapid.SliceOfN(rapid.Byte(), 1, MaxCredential).Draw(t, "secret"),
			Token:       bytesGen(2000).Draw(t, "token"), ExpiresMS: rapid.Int64().Draw(t, "expires"),
		}
	}),
	"Purge": rapid.Custom(func(t *rapid.T) message { return &Purge{VaultID: bytesGen(MaxVaultID).Draw(t, "vault")} }),
	"Purged": rapid.Custom(func(t *rapid.T) message {
		return &Purged{rapid.Uint64().Draw(t, "k"), rapid.Uint64().Draw(t, "c")}
	}),
	"Ping": rapid.Custom(func(t *rapid.T) message { return &Ping{ClockMS: rapid.Int64().Draw(t, "clock")} }),
	"Pong": rapid.Custom(func(t *rapid.T) message {
		return &Pong{
			Health: Health(rapid.Uint32().Draw(t, "health")), ClockMS: rapid.Int64().Draw(t, "clock"),
			InFlight: rapid.Uint32().Draw(t, "flight"), Queued: rapid.Uint32().Draw(t, "queued"),
		}
	}),
	"Stats": rapid.Custom(func(t *rapid.T) message {
		m := &Stats{}
		for range rapid.IntRange(0, 20).Draw(t, "values") {
			m.Add(StatID(rapid.Uint32().Draw(t, "id")), rapid.Int64().Draw(t, "value"))
		}
		for range rapid.IntRange(0, 5).Draw(t, "histograms") {
			n := rapid.IntRange(0, MaxBuckets).Draw(t, "buckets")
			counts := m.AddHistogram(Stage(rapid.Uint32().Draw(t, "stage")), rapid.Uint64().Draw(t, "sum"), n)
			for i := range counts {
				counts[i] = rapid.Uint64().Draw(t, "count")
			}
		}
		return m
	}),
	"AttestRequest": rapid.Custom(func(t *rapid.T) message {
		return &AttestRequest{Nonce: rapid.SliceOfN(rapid.Byte(), MinNonce, MaxNonce).Draw(t, "nonce")}
	}),
	"DomainRecord": rapid.Custom(func(t *rapid.T) message {
		return &DomainRecord{bytesGen(1000).Draw(t, "record")}
	}),
	"CreateDomainRequest": rapid.Custom(func(t *rapid.T) message {
		return &CreateDomainRequest{
			ID: sizedGen(1, MaxDomainID).Draw(t, "id"), Generation: rapid.Uint16Min(1).Draw(t, "generation"),
			Suites: sizedGen(1, MaxSuites).Draw(t, "suites"), RequestSuites: bytesGen(MaxRequestSuites).Draw(t, "requests"),
			DataKeys: dataKeysGen(1, MaxDataKeys).Draw(t, "keys"), Nonce: sizedGen(MinNonce, MaxNonce).Draw(t, "nonce"),
		}
	}),
	"CreateDomainResponse": rapid.Custom(func(t *rapid.T) message {
		return &CreateDomainResponse{bytesGen(1000).Draw(t, "record"), bytesGen(1000).Draw(t, "document")}
	}),
	"WrapDomainRequest": rapid.Custom(func(t *rapid.T) message {
		return &WrapDomainRequest{bytesGen(1000).Draw(t, "record"), dataKeysGen(0, 1).Draw(t, "keys")}
	}),
	"WrapDomainResponse": rapid.Custom(func(t *rapid.T) message {
		return &WrapDomainResponse{bytesGen(1000).Draw(t, "record")}
	}),
	"MintRequest": rapid.Custom(func(t *rapid.T) message {
		return &MintRequest{
			Domain: sizedGen(DomainNameSize, DomainNameSize).Draw(t, "domain"), Suite: rapid.Byte().Draw(t, "suite"),
			Count: rapid.Uint8Range(1, MaxMint).Draw(t, "count"),
		}
	}),
	"MintResponse": rapid.Custom(func(t *rapid.T) message {
		m := &MintResponse{}
		for range rapid.IntRange(0, 5).Draw(t, "keys") {
			m.Keys = append(m.Keys, Minted{bytesGen(MaxVaultID).Draw(t, "vault"), vaultKeyGen.Draw(t, "key")})
		}
		return m
	}),
	"ResealRequest": rapid.Custom(func(t *rapid.T) message {
		m := &ResealRequest{
			To: sizedGen(DomainNameSize, DomainNameSize).Draw(t, "to"), Suite: rapid.Byte().Draw(t, "suite"),
			Epoch: rapid.Uint16Min(1).Draw(t, "epoch"),
			Old: DecryptRequest{
				VaultID: bytesGen(MaxVaultID).Draw(t, "vault"), Suite: rapid.Byte().Draw(t, "old suite"),
				WrappedKey: bytesGen(300).Draw(t, "key"), Encoding: 4, Encs: [][]byte{bytesGen(200).Draw(t, "enc")},
				Domain: sizedGen(DomainNameSize, DomainNameSize).Draw(t, "domain"),
			},
		}
		if rapid.Bool().Draw(t, "of KMS") {
			m.Old.Domain, m.Old.Encs, m.Old.Encoding = nil, nil, rapid.Uint8Range(1, 3).Draw(t, "encoding")
			m.Old.KeyContext, m.Old.Region = rapid.Bool().Draw(t, "context"), bytesGen(MaxRegion).Draw(t, "region")
		}
		for range rapid.IntRange(0, 8).Draw(t, "fields") {
			m.Old.AddField(bytesGen(20).Draw(t, "name"), bytesGen(200).Draw(t, "blob"))
		}
		return m
	}),
	"ResealResponse": rapid.Custom(func(t *rapid.T) message {
		m := &ResealResponse{Code: codeGen.Draw(t, "code"), RetryAfterMS: rapid.Uint32().Draw(t, "retry")}
		switch m.Code {
		case OK:
			m.Key, m.Enc = vaultKeyGen.Draw(t, "key"), bytesGen(MaxEnc).Draw(t, "enc")
			m.Fields = rapid.SliceOfN(bytesGen(200), 0, 5).Draw(t, "fields")
			m.Statement = sizedGen(StatementSize, StatementSize).Draw(t, "statement")
		case DomainUnknown:
			m.Domain = sizedGen(DomainNameSize, DomainNameSize).Draw(t, "domain")
		case DecryptFailed:
			for i := rapid.IntRange(0, 200).Draw(t, "first"); i < MaxFields; i += rapid.IntRange(1, 50).Draw(t, "step") {
				m.Unopened = append(m.Unopened, uint8(i))
			}
		}
		return m
	}),
	"AttestResponse": rapid.Custom(func(t *rapid.T) message {
		return &AttestResponse{bytesGen(1000).Draw(t, "document")}
	}),
	"Log": rapid.Custom(func(t *rapid.T) message {
		m := &Log{
			Level: Level(rapid.Uint8Range(0, 3).Draw(t, "level")), TimeMS: rapid.Int64().Draw(t, "time"),
			Dropped: rapid.Uint64().Draw(t, "dropped"), Text: bytesGen(MaxLogText).Draw(t, "text"),
		}
		for range rapid.IntRange(0, MaxLogNumbers).Draw(t, "numbers") {
			m.Numbers = append(m.Numbers, LogNumber{bytesGen(MaxLogKey).Draw(t, "key"), rapid.Int64().Draw(t, "number")})
		}
		return m
	}),
	"GoAway": rapid.Custom(func(t *rapid.T) message { return &GoAway{Code: codeGen.Draw(t, "code")} }),
	"ErrorBody": rapid.Custom(func(t *rapid.T) message {
		return &ErrorBody{Code: max(BadRequest, codeGen.Draw(t, "code")), RetryAfterMS: rapid.Uint32().Draw(t, "retry")}
	}),
}

var codeGen = rapid.Map(rapid.Uint8Range(0, uint8(codeCount)-1), func(n uint8) Code { return Code(n) })

func TestMessagesSurviveARoundTrip(t *testing.T) {
	for name, gen := range generators {
		t.Run(name, func(t *testing.T) {
			used := messages[name]()
			rapid.Check(t, func(t *rapid.T) {
				m := gen.Draw(t, "message")
				prefix := bytesGen(10).Draw(t, "prefix")
				b := m.Append(prefix[:len(prefix):len(prefix)])
				if !reflect.DeepEqual(b[:len(prefix)], prefix[:len(prefix):len(prefix)]) {
					t.Fatal("Append touched what was there")
				}
				body := b[len(prefix):]
				if err := used.Decode(body); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(plain(value(m)), plain(value(used))) {
					t.Fatal("changed on its way")
				}
			})
		})
	}
}

// TestTruncatedMessagesAreRefused cuts messages without extensions, which end exactly where their fields do.
func TestTruncatedMessagesAreRefused(t *testing.T) {
	for name, gen := range generators {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := gen.Draw(t, "message")
				switch x := m.(type) {
				case *DecryptRequest:
					x.ReplyKey, x.CallerToken, x.ReportAccess = nil, nil, false
				case *DecryptResponse:
					x.Failures, x.AccessReported, x.Reads = nil, false, nil
				case *Hello:
					x.EnclaveID, x.PCRs = nil, nil
				case *ResealResponse:
					x.Unopened = nil
				}
				b := m.Append(nil)
				cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
				if err := messages[name]().Decode(b[:cut]); err == nil {
					t.Fatalf("%d of %d bytes are accepted", cut, len(b))
				}
			})
		})
	}
}

func TestFineBoundsAreThoseOfNativeHistograms(t *testing.T) {
	for i, ns := range FineBoundsNS {
		bound := math.Pow(math.Pow(2, math.Pow(2, -FineSchema)), float64(FineMin+i)) * 1e9
		if math.Abs(bound-float64(ns)) > 1+bound*1e-9 || i > 0 && ns <= FineBoundsNS[i-1] {
			t.Errorf("bound %d is %d ns, want %f", i, ns, bound)
		}
	}
	for s := range Stage(Stages) {
		of, ok := s.Fine().OfFine()
		if !ok || of != s || s.Fine().String() != "" {
			t.Errorf("stage %v: %v, %t", s, of, ok)
		}
		if _, ok := s.OfFine(); ok {
			t.Errorf("stage %v is taken for a fine one", s)
		}
	}
	if _, ok := (fineStage + Stage(Stages)).OfFine(); ok {
		t.Error("an unknown stage is taken for a fine one")
	}
}

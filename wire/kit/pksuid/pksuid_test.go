package pksuid

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestIDHoldsItsTime(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	id := New("v", at)
	if len(id) != len("v_")+27 {
		t.Fatalf("%d characters: %s", len(id), id)
	}
	got, ok := Time("v", id)
	if !ok || !got.Equal(at) {
		t.Fatalf("time = %v, %v", got, ok)
	}
}

func TestIDsDiffer(t *testing.T) {
	now := time.Now()
	seen := map[string]bool{}
	for range 1000 {
		id := New("v", now)
		if seen[id] {
			t.Fatal("repeated id")
		}
		seen[id] = true
	}
}

// The id was made by the Python package pybase62 0.4.3, which pksuid 1.1.2 uses, of these bytes.
func TestKnownID(t *testing.T) {
	raw := []byte{0x17, 0xd8, 0xf8, 0xa3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	const id = "v_3Oxq7563uxGIbJQWDEK6FA0ict5"
	if got := "v_" + encode(raw); got != id {
		t.Fatalf("id = %s", got)
	}
	at, ok := Time("v", id)
	if !ok || at.Unix() != epoch+0x17d8f8a3 {
		t.Fatalf("time = %v, %v", at, ok)
	}
}

func TestForeignIDsHaveNoTime(t *testing.T) {
	good := New("v", time.Now())
	for _, id := range []string{
		"", "v_", "v", "x_" + good[2:], good + "0", "v_0" + good[2:], "v_" + strings.Repeat("z", 27), good[:10] + "-" + good[11:],
		"v_01ARZ3NDEKTSV4RRFFQ69G5FAV!", "v_" + strings.Repeat("z", 400),
	} {
		if _, ok := Time("v", id); ok {
			t.Errorf("%q has a time", id)
		}
	}
}

func TestEveryTimeRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(epoch+1, epoch+1<<32-1).Draw(t, "seconds"), 0)
		got, ok := Time("v", New("v", at))
		if !ok || !got.Equal(at) {
			t.Fatalf("%v became %v, %v", at, got, ok)
		}
	})
}

func FuzzTime(f *testing.F) {
	f.Add("v_2TsLsJ3iPbbLpWYMKyxtSGZdSDK")
	f.Add("v_0")
	f.Fuzz(func(t *testing.T, id string) {
		if at, ok := Time("v", id); ok && at.Unix() < epoch {
			t.Fatal("time before the epoch")
		}
	})
}

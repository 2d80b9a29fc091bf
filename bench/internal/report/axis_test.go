package report

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"redoubt/bench/internal/measure"
)

func TestNumbersAreShort(t *testing.T) {
	for want, got := range map[string]string{
		"0": digits(0), "0.000904": digits(0.000904), "0.72": digits(0.7199), "13.2": digits(13.24), "100": digits(99.99),
		"1,000": short(999.9), "9,994": short(9994), "10 k": short(9999), "459 k": short(459_080), "1 M": short(999_999),
		"81 µs": duration(81.023), "1 ms": duration(999.9), "19.6 ms": duration(19595.263), "1.5 s": duration(1.5e6),
		"68.3 %": quantity(0.6833, "part"), "6.3 ×": quantity(6.297, "x"), "49.6 µs/req": quantity(49.566, "us/req"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAxesCoverTheirValuesWithTicksWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := rapid.Bool().Draw(t, "log")
		value := rapid.Custom(func(t *rapid.T) float64 {
			return rapid.Float64Range(1, 10).Draw(t, "mantissa") * math.Pow(10, float64(rapid.IntRange(-6, 9).Draw(t, "power")))
		})
		values := rapid.SliceOfN(value, 1, 20).Draw(t, "values")
		a := &axis{log: log, write: short}
		a.fit(values)
		slack := 1e-3
		for _, v := range values {
			if at := a.place(v); !(at >= -slack && at <= 1+slack) {
				t.Fatalf("%g is at %g of %g to %g", v, at, a.min, a.max)
			}
		}
		if len(a.ticks) < 2 || len(a.ticks) > 18 || !slices.IsSortedFunc(a.ticks, func(a, b tick) int {
			return int(math.Copysign(1, a.at-b.at))
		}) {
			t.Fatalf("ticks %v", a.ticks)
		}
		for _, k := range a.ticks {
			if at := a.place(k.at); !(at >= -slack && at <= 1+slack) {
				t.Fatalf("tick %v is at %g", k, at)
			}
		}
	})
}

func TestAMarginPointsTheWayItsTargetDoes(t *testing.T) {
	for _, c := range []struct {
		value  float64
		target *measure.Target
		want   string
	}{
		{12, measure.AtLeast(6), "2 × better"},
		{3, measure.AtLeast(6), "2 × short"},
		{3, measure.AtMost(6), "2 × better"},
		{12, measure.AtMost(6), "2 × short"},
		{0, measure.AtLeast(6), ""},
		{0, measure.AtMost(6), ""},
	} {
		l := measure.Ratio("x", c.value, 1, "y", c.target)
		if got, _ := margin(&l); got != c.want {
			t.Errorf("%g, target %v: %q, want %q", c.value, c.target, got, c.want)
		}
	}
}

func TestNamesAreInTheOrderOfTheirNumbers(t *testing.T) {
	names := []string{"wire, 128", "wire, 16", "http", "wire, 1", "wire, 512"}
	slices.SortFunc(names, natural)
	if want := []string{"http", "wire, 1", "wire, 16", "wire, 128", "wire, 512"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
}

package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// axis maps values to 0..1.
type axis struct {
	label    string
	log      bool
	write    func(float64) string // of a value; set before fit
	min, max float64
	bound    *float64 // a target, drawn across
	grid     []float64
	ticks    []tick
}

type tick struct {
	at   float64
	text string
}

func (a *axis) place(v float64) float64 {
	lo, hi := a.min, a.max
	if a.log {
		v, lo, hi = math.Log10(v), math.Log10(lo), math.Log10(hi)
	}
	if hi == lo {
		return 0.5
	}
	return (v - lo) / (hi - lo)
}

// fit sets range, grid and ticks to cover values, which for a logarithmic axis are positive.
func (a *axis) fit(values []float64) {
	a.min, a.max = slices.Min(values), slices.Max(values)
	if a.log {
		a.fitLog()
		return
	}
	a.min = math.Min(0, a.min)
	step := math.Pow(10, math.Floor(math.Log10(math.Max(a.max-a.min, 1e-12))))
	switch n := (a.max - a.min) / step; {
	case n <= 1.25:
		step /= 4
	case n <= 2.5:
		step /= 2
	case n > 5:
		step *= 2
	}
	a.min, a.max = math.Floor(a.min/step)*step, math.Max(math.Ceil(a.max/step)*step, a.min+step)
	for i := 0; a.min+float64(i)*step <= a.max+step/2; i++ {
		v := a.min + float64(i)*step
		a.grid = append(a.grid, v)
		a.ticks = append(a.ticks, tick{v, a.write(v)})
	}
}

// fitLog takes 1, 2 or 5 times a power of ten for either end, and ticks at these where there are few decades.
func (a *axis) fitLog() {
	var all []float64
	for p := math.Floor(math.Log10(a.min)); p <= math.Ceil(math.Log10(a.max)); p++ {
		for _, m := range []float64{1, 2, 5} {
			all = append(all, m*math.Pow(10, p))
		}
	}
	all = append(all, math.Pow(10, math.Ceil(math.Log10(a.max))+1))
	lo, hi := a.min*1.0001, a.max*0.9999
	for _, v := range all {
		if v <= lo {
			a.min = v
		}
	}
	a.max = all[slices.IndexFunc(all, func(v float64) bool { return v >= hi && v > a.min })]
	few := a.max/a.min < 150
	for _, v := range all {
		if v < a.min*0.9999 || v > a.max*1.0001 {
			continue
		}
		a.grid = append(a.grid, v)
		if power := math.Log10(v); few || math.Abs(power-math.Round(power)) < 1e-9 {
			a.ticks = append(a.ticks, tick{v, a.write(v)})
		}
	}
}

// short writes a number with three digits at most that count, and k or M for what is large.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 999_500:
		return digits(v/1e6) + " M"
	case a >= 9_995:
		return digits(v/1e3) + " k"
	case a >= 999.5:
		n := int64(math.Round(v))
		return fmt.Sprintf("%d,%03d", n/1000, max(n, -n)%1000)
	}
	return digits(v)
}

// digits writes three digits that count, without an exponent and without zeros at the end.
func digits(v float64) string {
	if v == 0 {
		return "0"
	}
	after := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	text := fmt.Sprintf("%.*f", min(after, 9), v)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// duration writes microseconds in the unit that fits.
func duration(us float64) string {
	switch a := math.Abs(us); {
	case a == 0:
		return "0"
	case a >= 999_500:
		return digits(us/1e6) + " s"
	case a >= 999.5:
		return digits(us/1e3) + " ms"
	}
	return digits(us) + " µs"
}

// quantity writes a value of a unit as bench prints it.
func quantity(v float64, unit string) string {
	switch unit {
	case "us":
		return duration(v)
	case "x":
		return short(v) + " ×"
	case "part":
		return digits(100*v) + " %"
	case "us/req":
		return duration(v) + "/req"
	}
	return short(v) + " " + unit
}

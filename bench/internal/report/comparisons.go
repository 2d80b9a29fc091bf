package report

import (
	"path"
	"strings"

	"redoubt/bench/internal/measure"
)

// comparisons draws rates side by side, and what cryptography costs in ECDHs.
func comparisons(all []measure.Line) (charts []chart) {
	groups := make(map[string][]bar)
	for i := range all {
		l := &all[i]
		parts := strings.Split(l.Name, "/")
		last := parts[len(parts)-1]
		switch m := inFlightName.FindStringSubmatch(path.Dir(l.Name)); {
		case m != nil && last == "rate" && l.Unit == "req/s":
			group := spoken(m[1]) + ", " + m[3] + " in flight: requests per second"
			groups[group] = append(groups[group], bar{
				name: m[2], text: short(l.Value), value: l.Value, beside: m[2] != "ours",
			})
		case parts[0] == "crypto" && last == "x-ecdh" && len(parts) > 2:
			group := "Cryptography, " + parts[1] + ": in units of one ECDH"
			b := bar{name: operation(parts[2 : len(parts)-1]), text: short(l.Value), value: l.Value, good: l.Holds}
			if l.Target != nil {
				b.bound = &l.Target.Bound
				b.text += " (target " + sign(l) + ")"
			}
			groups[group] = append(groups[group], b)
		}
	}
	for _, name := range byName(groups) {
		charts = append(charts, bars(name, groups[name]))
	}
	return charts
}

// operation writes the parts of a cryptographic measurement's name for people.
func operation(parts []string) string {
	words := make([]string, len(parts))
	for i, p := range parts {
		n, isFields := strings.CutPrefix(p, "fields-")
		switch {
		case isFields && n == "1":
			p = "1 field"
		case isFields:
			p = n + " fields"
		}
		words[i] = strings.ReplaceAll(p, "-", " ")
	}
	return strings.Join(words, ", ")
}

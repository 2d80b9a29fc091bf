package vault

import (
	"slices"

	"redoubt/api/internal/store"
)

// with adds to names, in order, the fields that the schema derives from them. The rights to a write, or to a removal,
// are judged over every field that it touches.
func (s *Service) with(names []string) []string {
	out := slices.Concat(names, s.cfg.Schema.Following(names))
	slices.Sort(out)
	return out
}

// leaving lists the fields that are removed from a record when a caller names some: those, and of the fields that are
// derived from them the ones whose value no caller gave. If their source is not in the record they stay, since they
// do not come from it.
func (s *Service) leaving(r *store.Record, named []string) []string {
	sources := slices.DeleteFunc(slices.Clone(named), func(name string) bool {
		_, stored := r.Fields[name]
		return !stored
	})
	out := slices.Clone(named)
	for _, name := range s.cfg.Schema.Following(sources) {
		_, stored := r.Fields[name]
		if stored && !slices.Contains(named, name) && !slices.Contains(r.Own, name) {
			out = append(out, name)
		}
	}
	return out
}

// own is a record's new list of derived fields whose value a caller gave: given are added, and the others of touched
// are removed. nil leaves the list as it is.
func own(r *store.Record, given, touched []string) *[]string {
	out := slices.DeleteFunc(slices.Clone(r.Own), func(name string) bool { return slices.Contains(touched, name) })
	out = append(out, given...)
	slices.Sort(out)
	if slices.Equal(out, r.Own) {
		return nil
	}
	return &out
}

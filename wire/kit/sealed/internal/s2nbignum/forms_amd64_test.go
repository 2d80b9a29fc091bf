//go:build s2nbignum

package s2nbignum

import "testing"

type form struct {
	name string
	use  func(*testing.T)
}

// forms are the forms that this processor can run: each the one without BMI2 and ADX.
func forms() []form {
	with := func(v bool) func(*testing.T) {
		return func(t *testing.T) {
			old := alt
			alt = v
			t.Cleanup(func() { alt = old })
		}
	}
	all := []form{{"alt", with(true)}}
	if !alt {
		all = append(all, form{"adx", with(false)})
	}
	return all
}

//go:build s2nbignum

package s2nbignum

import "testing"

type form struct {
	name string
	use  func(*testing.T)
}

func forms() []form { return []form{{"alt", func(*testing.T) {}}} }

//go:build !s2nbignum || !(amd64 || arm64)

package s2nbignum

import "crypto/ecdh"

// Has reports whether this build has code for the curve.
func Has(ecdh.Curve) bool { return false }

// ECDH has no code in this build. It returns false.
func ECDH(ecdh.Curve, []byte, []byte, []byte) bool { return false }

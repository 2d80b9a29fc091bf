package sealed

import "redoubt/wire/kit/sealed/internal/s2nbignum"

// The machine code of s2n-bignum that builds with the tag link, and the crate that it comes from.
const (
	MachineCodeTag     = "s2nbignum"
	MachineCodeCrate   = "aws-lc-sys"
	MachineCodeVersion = "0.47.0"
)

// MachineCode returns the suites whose key agreement runs on it in this build.
func MachineCode() (all []Suite) {
	for _, s := range Suites() {
		if s2nbignum.Has(s.Curve()) {
			all = append(all, s)
		}
	}
	return all
}

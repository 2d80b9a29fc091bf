package sealed

import (
	"bytes"
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/binary"
	"hash"
	"strings"

	"github.com/cloudflare/circl/hpke"
	"github.com/cloudflare/circl/kem/xwing"
)

// Suite is an HPKE cipher suite (RFC 9180, section 7). Its number represents it on the wire.
type Suite uint8

// The suites. The first three are DHKEM over a NIST curve, and HKDF with the hash of its size. All have AES-256-GCM.
// The numbers never change.
const (
	P256 Suite = 1 // DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM
	P384 Suite = 2 // DHKEM(P-384, HKDF-SHA384), HKDF-SHA384, AES-256-GCM: the default, and the reference's
	P521 Suite = 3 // DHKEM(P-521, HKDF-SHA512), HKDF-SHA512, AES-256-GCM
	// XWing is X-Wing (draft-connolly-cfrg-xwing-kem: ML-KEM-768 and X25519), HKDF-SHA256, AES-256-GCM. It exists in
	// encoding 4 only, for vaults under a domain.
	XWing Suite = 4
)

// MaxSuite is the highest number of a suite.
const MaxSuite = XWing

// Sizes in bytes.
const (
	// SuiteIDSize is the size of a suite id: "HPKE" and the numbers of KEM, KDF and AEAD.
	SuiteIDSize = 10
	// TagSize is the size of the AEAD's tag, and so the least size of a ciphertext.
	TagSize = 16
	// MaxEncSize is the largest [Suite.EncSize].
	MaxEncSize = 1120
	// MaxPrivateSize and MaxPublicSize are the largest [Suite.PrivateSize] and [Suite.PublicSize].
	MaxPrivateSize = maxScalarSize
	MaxPublicSize  = 1216

	keySize       = 32 // Nk of AES-256-GCM
	nonceSize     = 12 // Nn
	maxHashSize   = sha512.Size
	maxScalarSize = 66
	maxPointSize  = 1 + 2*maxScalarSize
)

// params holds what the code needs to know about a suite.
type params struct {
	name    string
	id      [SuiteIDSize]byte
	hpke    hpke.Suite
	kem     hpke.KEM
	curve   ecdh.Curve            // nil for X-Wing, as are the next three
	order   []byte                // of the curve, Nsk bytes
	spec    string                // name of KMS's data key pairs of this suite
	oid     asn1.ObjectIdentifier // of the named curve, RFC 5480 section 2.1.1.1
	hash    func() hash.Hash
	encSize int // Nenc
	pkSize  int // Npk
	scalar  int // Nsk
	nh      int // Nh, the size of the exporter secret, and Nsecret
	block   int // of the hash

	pskIDHash []byte // of the key schedule without a pre-shared key
	// erase says that derivations run under secret.Do. Where one makes few heap blocks that is 1 to 2 % for P-384 and
	// P-521. crypto/ecdh makes more of them for P-256, which deployments choose for its speed.
	erase bool
}

func newParams(name string, kem hpke.KEM, kdf hpke.KDF, curve ecdh.Curve, curveOID int, h func() hash.Hash,
	scalar int,
) *params {
	p := &params{
		name: name, kem: kem, curve: curve, hash: h, scalar: scalar, encSize: 1 + 2*scalar, pkSize: 1 + 2*scalar,
		nh: h().Size(), block: h().BlockSize(), erase: scalar > 32,
		spec: "ECC_NIST_" + strings.ReplaceAll(name, "-", ""),
		oid:  asn1.ObjectIdentifier{1, 3, 132, 0, curveOID},
		hpke: hpke.NewSuite(kem, kdf, hpke.AEAD_AES256GCM),
	}
	copy(p.id[:], "HPKE")
	binary.BigEndian.PutUint16(p.id[4:], uint16(kem))
	binary.BigEndian.PutUint16(p.id[6:], uint16(kdf))
	binary.BigEndian.PutUint16(p.id[8:], uint16(hpke.AEAD_AES256GCM))
	p.pskIDHash = make([]byte, p.nh)
	p.extract(p.pskIDHash, p.id[:], nil, "psk_id_hash", nil)
	return p
}

var suites = func() (t [MaxSuite + 1]*params) {
	t[P256] = newParams("P-256", hpke.KEM_P256_HKDF_SHA256, hpke.KDF_HKDF_SHA256, ecdh.P256(), 0, sha256.New, 32)
	t[P256].oid = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	t[P384] = newParams("P-384", hpke.KEM_P384_HKDF_SHA384, hpke.KDF_HKDF_SHA384, ecdh.P384(), 34, sha512.New384, 48)
	t[P521] = newParams("P-521", hpke.KEM_P521_HKDF_SHA512, hpke.KDF_HKDF_SHA512, ecdh.P521(), 35, sha512.New, 66)
	for s, c := range map[Suite]elliptic.Curve{P256: elliptic.P256(), P384: elliptic.P384(), P521: elliptic.P521()} {
		t[s].order = c.Params().N.FillBytes(make([]byte, t[s].scalar))
	}
	t[XWing] = newParams("X-Wing", hpke.KEM_XWING, hpke.KDF_HKDF_SHA256, nil, 0, sha256.New, xwing.PrivateKeySize)
	t[XWing].encSize, t[XWing].pkSize = xwing.CiphertextSize, xwing.PublicKeySize
	t[XWing].spec, t[XWing].oid = "", nil
	return t
}()

// params returns nil for an unknown suite.
func (s Suite) params() *params {
	if !s.Valid() {
		return nil
	}
	return suites[s]
}

// Suites returns the suites over a curve, in the order of their numbers. KMS makes their key pairs, and they exist in
// every encoding.
func Suites() []Suite { return []Suite{P256, P384, P521} }

// DomainSuites returns the suites of vaults under a domain, in the order of their numbers: all of them.
func DomainSuites() []Suite { return append(Suites(), XWing) }

// SuiteNamed returns the suite over a curve of a name that [Suite.String] gives. Error: [ErrSuite].
func SuiteNamed(name string) (Suite, error) { return named(name, Suites()) }

// DomainSuiteNamed is SuiteNamed for vaults under a domain.
func DomainSuiteNamed[T string | []byte](name T) (Suite, error) {
	return named(string(name), DomainSuites())
}

func named(name string, of []Suite) (Suite, error) {
	for _, s := range of {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, ErrSuite
}

// SuiteNames returns the names of [Suites].
func SuiteNames() []string { return names(Suites()) }

// DomainSuiteNames returns the names of [DomainSuites].
func DomainSuiteNames() []string { return names(DomainSuites()) }

func names(of []Suite) (names []string) {
	for _, s := range of {
		names = append(names, s.String())
	}
	return names
}

// Valid reports whether s is one of the suites above.
func (s Suite) Valid() bool { return s >= P256 && s <= MaxSuite }

// OnCurve reports whether s is one of [Suites].
func (s Suite) OnCurve() bool { return s >= P256 && s <= P521 }

// ParseSuite reads a suite id of exactly [SuiteIDSize] bytes. Error: [ErrSuite].
func ParseSuite(id []byte) (Suite, error) {
	for s := P256; s <= MaxSuite; s++ {
		if bytes.Equal(id, suites[s].id[:]) {
			return s, nil
		}
	}
	return 0, ErrSuite
}

// ID returns the suite id, which is stored as _hs and sent (in base64) as suite_id. It is all zeros for an unknown
// suite.
func (s Suite) ID() [SuiteIDSize]byte {
	if p := s.params(); p != nil {
		return p.id
	}
	return [SuiteIDSize]byte{}
}

// EncSize returns the size of an encapsulated key in bytes: 65, 97, 133 or 1,120; 0 for an unknown suite.
func (s Suite) EncSize() int {
	if p := s.params(); p != nil {
		return p.encSize
	}
	return 0
}

// PrivateSize returns the size of a serialized private key in bytes (Nsk of RFC 9180): 32, 48, 66 or 32; 0 for an
// unknown suite.
func (s Suite) PrivateSize() int {
	if p := s.params(); p != nil {
		return p.scalar
	}
	return 0
}

// PublicSize returns the size of a serialized public key in bytes (Npk of RFC 9180): 65, 97, 133 or 1,216; 0 for an
// unknown suite.
func (s Suite) PublicSize() int {
	if p := s.params(); p != nil {
		return p.pkSize
	}
	return 0
}

// Curve returns the curve of the suite's KEM; nil for X-Wing and for an unknown suite.
func (s Suite) Curve() ecdh.Curve {
	if p := s.params(); p != nil {
		return p.curve
	}
	return nil
}

// KeySpec returns KMS's name for a data key pair of the suite's curve, such as "ECC_NIST_P384", or "" where there
// is none.
func (s Suite) KeySpec() string {
	if p := s.params(); p != nil {
		return p.spec
	}
	return ""
}

// String returns the name of the KEM: "P-256", "P-384", "P-521", "X-Wing".
func (s Suite) String() string {
	if p := s.params(); p != nil {
		return p.name
	}
	return "unknown"
}

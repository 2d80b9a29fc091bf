package wire

import (
	"math/bits"
	"strconv"
	"strings"
)

// Features are optional parts of the protocol. A session uses those that both sides announce. Bits never change their
// meaning, and a bit that was given up is not used again.
type Features uint64

// A new feature is a constant here and a row of featureTable. Both sides then announce it, logs name it, and
// `go test ./wire -write-numbers` adds it to the package's doc and to the list of all numbers.
const (
	FeatureBatchLane       Features = 1 << 0
	FeatureEgress          Features = 1 << 1
	FeatureLog             Features = 1 << 2
	FeatureEncoding3       Features = 1 << 4
	FeatureAttest          Features = 1 << 5
	FeatureStats           Features = 1 << 6
	FeaturePaddedReply     Features = 1 << 7
	FeatureExpressionKinds Features = 1 << 8
	FeatureAccessReport    Features = 1 << 9
	FeatureDomains         Features = 1 << 10
	FeatureDomainWrites    Features = 1 << 11
)

// FeatureInfo describes a bit, for showing it.
type FeatureInfo struct {
	// Name is the feature's name in snake_case, for logs.
	Name string
	// For says in a sentence what a peer that announces the feature does.
	For string
	// Since is the release that first announces it. It is empty for a feature that was given up and that no release
	// announces.
	Since string
}

const firstRelease = "the first release"

// featureTable has the features by the number of their bit. A number that occurs twice does not compile.
var featureTable = [64]FeatureInfo{
	0: {"batch_lane", "The peer takes a lane of its own for batches.", firstRelease},
	1: {"egress", "The parent carries egress streams, and the enclave asks for them.", firstRelease},
	2: {"log", "The parent takes the enclave's log.", firstRelease},
	3: {"unpadded_reply", "Given up before a release: answers sealed to a caller's key without padding.", ""},
	4: {"encoding_3", "The enclave opens encoding 3.", firstRelease},
	5: {"attest", "The enclave makes attestation documents for callers.", firstRelease},
	6: {"stats", "The enclave answers stats requests.", firstRelease},
	7: {
		"padded_reply", "The enclave seals answers to a caller's key, padded, and the parent carries them. " +
			"Without it a reply key is bad_request: no older layout is made in its place.", firstRelease,
	},
	8: {
		"expression_kinds", "The enclave tells the kinds of expressions that failed, and the parent reads them: " +
			"extension 1 of the response.", firstRelease,
	},
	9: {"access_report", "The enclave reports which fields expressions read.", firstRelease},
	10: {
		"domains", "The enclave takes records of domains, and opens encoding 4 under them: kind 28, and extension 4 of " +
			"the request.", firstRelease,
	},
	11: {
		"domain_writes", "The enclave makes domains, wraps and vault keys, and reseals, as its measured file allows: " +
			"kinds 3 to 10.", firstRelease,
	},
}

// AllFeatures are those of this build.
func AllFeatures() Features { return allFeatures }

var allFeatures = func() (all Features) {
	for bit, f := range featureTable {
		if f.Since != "" {
			all |= 1 << bit
		}
	}
	return all
}()

// Has reports whether all of want are set.
func (f Features) Has(want Features) bool { return f&want == want }

// Info describes the feature, which is one bit. It is empty for one that this build does not know.
func (f Features) Info() FeatureInfo {
	if bits.OnesCount64(uint64(f)) != 1 {
		return FeatureInfo{}
	}
	return featureTable[bits.TrailingZeros64(uint64(f))]
}

// String has the names of the features, in order of their bits; one that this build does not know is bit_ and its
// number.
func (f Features) String() string {
	var names []string
	for rest := uint64(f); rest != 0; rest &= rest - 1 {
		bit := bits.TrailingZeros64(rest)
		name := featureTable[bit].Name
		if name == "" {
			name = "bit_" + strconv.Itoa(bit)
		}
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

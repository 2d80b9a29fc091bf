package wire

import "testing"

// laneMessages are an empty one of each kind.
var laneMessages = []LaneMessage{
	&DecryptRequest{}, &CreateDomainRequest{}, &WrapDomainRequest{}, &MintRequest{}, &ResealRequest{},
}

func TestEveryKindOfRequestOnALaneHasAMessageThatNeedsItsFeatures(t *testing.T) {
	found := map[Kind]LaneMessage{}
	for _, m := range laneMessages {
		found[m.Kind()] = m
	}
	for k := range Kind(255) {
		needs, ok := k.LaneRequest()
		if m := found[k]; ok != (m != nil) || ok && !m.Needs().Has(needs) {
			t.Errorf("kind %d: a request on a lane %v, needs %v, its message is a %T", k, ok, needs, m)
		}
	}
}

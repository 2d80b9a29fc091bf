package parentd

import (
	"net/http"

	"redoubt/parent/internal/front"
	"redoubt/wire"
)

// The conditions of /ready that no enclave reports of itself. The others have the names of [wire.Health], here, in
// the metric redoubt_enclave_condition and in the enclave's log.
const (
	conditionEnclave = "enclave_ready"
	conditionProbe   = "kms_probe" // it belongs to that of KMS
)

// conditionKMS is the one condition without which requests are still served: those of cached keys.
var conditionKMS = wire.HealthKMS.Name()

// checks are the conditions of /ready. Those after the first say what keeps every enclave from being ready.
func (a *Parent) checks() []front.Check {
	ready, kms := a.pool.Ready(), wire.HealthKMS
	if ready {
		kms |= wire.HealthReady // another enclave's way to KMS is of no use
	}
	all := []front.Check{{Name: conditionEnclave, OK: ready}}
	for _, h := range []wire.Health{wire.HealthSelfTest, wire.HealthClock, wire.HealthEntropy} {
		all = append(all, front.Check{Name: h.Name(), OK: a.pool.Any(h)})
	}
	return append(all, front.Check{Name: conditionKMS, OK: a.pool.Any(kms)}, a.probed(),
		front.Check{Name: wire.HealthCredentials.Name(), OK: a.creds.Valid()})
}

func (a *Parent) ready() bool {
	if a.front == nil {
		return false
	}
	r, err := a.front.Readiness(conditionKMS)
	return err == nil && r.OK()
}

// answerReady answers GET /ready as the front does.
func (a *Parent) answerReady(w http.ResponseWriter, r *http.Request) {
	exclude, err := front.Excluded(r.URL.RawQuery)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	readiness, err := a.front.Readiness(exclude...)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err)
	case readiness.OK():
		answer(w, http.StatusOK, readiness)
	default:
		answer(w, http.StatusServiceUnavailable, readiness)
	}
}

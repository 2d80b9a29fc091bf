package enclaved

import (
	"redoubt/enclave/internal/expr"
	"redoubt/enclave/internal/kms"
	"redoubt/wire"
)

// kmsStats adds the counts of the KMS client. A call is counted once, however many attempts it took. The histogram
// counts attempts.
func kmsStats(k kms.Stats, m *wire.Stats) {
	by := map[wire.StatID]uint64{
		wire.StatKMSOK: 0, wire.StatKMSDenied: 0, wire.StatKMSThrottled: 0, wire.StatKMSUnavailable: 0,
		wire.StatKMSInvalid: 0, wire.StatKMSCircuitOpen: 0, wire.StatKMSCredentials: 0, wire.StatKMSRetries: k.Retries,
	}
	for cause, n := range k.Calls {
		switch kms.Cause(cause) {
		case kms.OK:
			by[wire.StatKMSOK] += n
		case kms.Denied:
			by[wire.StatKMSDenied] += n
		case kms.Throttled:
			by[wire.StatKMSThrottled] += n
		case kms.Untrusted, kms.BadAnswer, kms.Rejected, kms.Invalid:
			by[wire.StatKMSInvalid] += n
		case kms.NoCredentials, kms.BadCredentials:
			by[wire.StatKMSCredentials] += n
		case kms.CircuitOpen:
			by[wire.StatKMSCircuitOpen] += n
		default:
			by[wire.StatKMSUnavailable] += n
		}
	}
	for id, n := range by {
		m.Add(id, int64(n))
	}
	m.Add(wire.StatKMSDomainDecrypts, int64(k.Domains))
	open := 0
	for _, region := range k.Regions {
		if region.Circuit != kms.CircuitClosed {
			open++
		}
	}
	m.Add(wire.StatGaugeKMSInFlight, int64(k.InFlight))
	m.Add(wire.StatGaugeKMSWaiting, int64(k.Waiting))
	m.Add(wire.StatGaugeKMSCircuitsOpen, int64(open))
	m.Add(wire.StatGaugeKMSDocumentAge, int64(k.DocumentAge.Seconds()))
	m.Add(wire.StatGaugeKMSRSAKeyAge, int64(k.RSAKeyAge.Seconds()))
	m.Add(wire.StatGaugeCredentialsLeft, int64(k.CredentialsLeft.Seconds()))
	k.Latency.Add(m, wire.StageKMS)
}

// exprStats adds the counts of the evaluator's caches.
func exprStats(x expr.Stats, m *wire.Stats) {
	m.Add(wire.StatProgramHits, int64(x.Hits))
	m.Add(wire.StatProgramMisses, int64(x.Misses))
	m.Add(wire.StatGaugePrograms, int64(x.Programs))
}

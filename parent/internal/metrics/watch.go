package metrics

import "github.com/prometheus/client_golang/prometheus"

// Watched is a value that is read when a scrape asks for it.
type Watched int

// The values; package app has what reads them.
const (
	Ready Watched = iota
	Draining
	CredentialsValid
	CredentialsLife
	FilesStale
	KnownEnclaves
	RequestsInFlight
	// CertificateLife is there only with TLS.
	CertificateLife
	// WatchedValues is their number.
	WatchedValues int = iota
)

var watched = [WatchedValues]struct{ name, help string }{
	Ready:            {"ready", "1 if `/ready?exclude=kms` answers 200: requests can be served."},
	Draining:         {"draining", "1 while the parent drains."},
	CredentialsValid: {"credentials_valid", "1 if there are credentials to use, even if they are past their end."},
	CredentialsLife: {
		"credentials_life_seconds", "Time until the credentials end, as their source says; +Inf if they never end. " +
			"Negative while they are used past their end because there are no new ones.",
	},
	FilesStale:    {"files_stale", "Files (certificates, API keys) that changed and could not be loaded."},
	KnownEnclaves: {"enclaves", "Enclaves that the parent knows."},
	RequestsInFlight: {
		"requests_in_flight", "Requests and items of batches that wait for an enclave's answer. The fleet scales on it.",
	},
	CertificateLife: {"certificate_life_seconds", "Time until the TLS certificate ends. Only with TLS."},
}

// Name is that of the value's metric.
func (w Watched) Name() string { return Namespace + "_" + watched[w].name }

// Watch exposes a value.
func (m *Metrics) Watch(w Watched, read func() float64) {
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: w.Name(), Help: watched[w].help}, read))
}

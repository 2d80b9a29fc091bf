package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"redoubt/bench/internal/httpload"
	"redoubt/wire/kit/program"
)

// where are the flags that name the server to measure.
type where struct {
	URL        string `help:"Parent or API: http://HOST:PORT or https://HOST." placeholder:"URL"`
	BearerFile string `help:"File with the key for 'Authorization: Bearer KEY'." type:"path" placeholder:"FILE"`
	CA         string `name:"ca" help:"PEM file of the roots that https is trusted by, instead of the system's." type:"path" placeholder:"FILE"`
}

func (w *where) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if w.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(w.CA)
	if err != nil {
		return nil, err
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("--ca: no certificate in it")
	}
	return config, nil
}

func (w *where) bearer() (string, error) {
	if w.BearerFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(w.BearerFile)
	return strings.TrimSpace(string(b)), err
}

func (w *where) target() (*httpload.Target, error) {
	config, err := w.tls()
	if err != nil {
		return nil, err
	}
	e, err := httpload.NewEndpoint(w.URL, config)
	if err != nil {
		return nil, err
	}
	bearer, err := w.bearer()
	return &httpload.Target{Endpoint: e, Bearer: bearer}, err
}

const askTimeout = 10 * time.Second

// speaks refuses a corpus of an API's vaults for a parent. A parent knows no vaults, so every request would be a 404.
// It recognises a parent by its list of enclaves; if that is not shown, the load will fail.
func (w *where) speaks(ctx context.Context, api bool) error {
	if !api {
		return nil
	}
	config, err := w.tls()
	if err != nil {
		return err
	}
	bearer, err := w.bearer()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(w.URL, "/")+"/enclaves", http.NoBody)
	if err != nil {
		return err
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	if answer.StatusCode == http.StatusOK {
		return program.Mistake("--corpus holds vaults of an API, and --url is a parent: give the API's URL, " +
			"or make a corpus for the parent with bench record --stand-in or --kms-key")
	}
	return nil
}

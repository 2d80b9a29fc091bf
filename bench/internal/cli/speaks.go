package cli

import (
	"context"
	"net/http"
	"strings"
	"time"

	"redoubt/wire/kit/program"
)

const askTimeout = 10 * time.Second

// speaks refuses a corpus of an API's vaults for a parent, which knows no vaults: every request would be a 404. A
// parent is told by its list of enclaves; where that is not shown, the load will tell.
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

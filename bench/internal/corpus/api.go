package corpus

import (
	"context"
	"fmt"
	"net/http"
	"runtime"

	"golang.org/x/sync/errgroup"

	"redoubt/api/client"
)

// APIFields are the fields of the reference's schema that take any text.
var APIFields = []string{
	"email", "first_name", "middle_name", "last_name", "address1", "address2", "address3", "city", "state",
}

// API is where MakeAPI creates vaults.
type API struct {
	URL    string // without a path
	Client *http.Client
	Bearer string // empty: no Authorization header
}

// MakeAPI creates vaults through an API. Of the options only Vaults, Fields (at most len(APIFields)) and Prefix
// count. The API decides how the vaults are sealed.
func MakeAPI(ctx context.Context, o Options, api API, progress func(done int)) (*Corpus, error) {
	o.Writes = 1
	if err := o.fill(); err != nil {
		return nil, err
	}
	if o.Fields > len(APIFields) {
		return nil, ErrOptions
	}
	vaults, err := client.New(client.Config{URL: api.URL, Token: api.Bearer, HTTP: api.Client})
	if err != nil {
		return nil, err
	}
	c := &Corpus{Suite: o.Suite, Encoding: o.Encoding, Region: o.Region, API: true, Vaults: make([]Vault, o.Vaults)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4 * runtime.GOMAXPROCS(0))
	for i := range c.Vaults {
		g.Go(func() error {
			v := Vault{Label: fmt.Sprintf("%s%06d", o.Prefix, i)}
			content := make(map[string]string, o.Fields)
			for _, name := range APIFields[:o.Fields] {
				content[name] = Plain(v.Label, 0, name)
			}
			made, err := vaults.Create(ctx, content, client.CreateOptions{})
			if err != nil {
				return fmt.Errorf("vault %d: %w", i, err)
			}
			v.ID = made.ID
			c.Vaults[i] = v
			if progress != nil {
				progress(i)
			}
			return nil
		})
	}
	return c, g.Wait()
}

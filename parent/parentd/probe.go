package parentd

import (
	"fmt"
	"os"

	"redoubt/parent/internal/front"
	"redoubt/parent/internal/probe"
)

// noProbe is the detail of the condition if no probe key was given.
const noProbe = "no_probe"

// probe makes the prober, with the keys of --probe-file if there are any.
func (a *Parent) probe() error {
	a.prober = probe.New(probe.Options{
		Enclaves: a.pool, Observer: a.metrics.Probed, Log: a.log, Every: a.c.KMS.ProbeEvery,
	})
	files := a.c.KMS.ProbeFile
	if len(files) == 0 {
		return nil
	}
	a.metrics.AddProbe(a.prober)
	return a.follow("probe keys", files, func() error {
		keys := make([]*probe.Key, 0, len(files))
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			k, err := probe.Parse(data)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			keys = append(keys, k)
		}
		return a.prober.SetKeys(keys)
	})
}

// probed is the condition that KMS opens each probe key. Without a probe key nothing is known, and nothing fails.
func (a *Parent) probed() front.Check {
	c := front.Check{Name: conditionProbe, Of: conditionKMS, OK: true}
	states := a.prober.States()
	if len(states) == 0 {
		c.Detail = noProbe
	}
	for _, s := range states {
		if !s.OK() {
			c.OK, c.Detail = false, s.Said
			break
		}
	}
	return c
}

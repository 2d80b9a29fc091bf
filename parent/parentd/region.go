package parentd

import (
	"context"
	"log/slog"
	"time"
)

// regionRetry is the wait between two attempts to learn the region.
const regionRetry = 5 * time.Second

// findRegion asks the instance for its region if none was given, and lets enclaves reach KMS there. The reference
// (the AWS sample that Redoubt succeeds) knew its region from its requests and from vsock-proxy's configuration. So
// an operator who comes from it gives no flag.
func (a *Parent) findRegion(ctx context.Context) {
	if len(a.c.KMS.Region) > 0 || len(a.c.KMS.Egress) > 0 {
		return
	}
	if a.imds == nil {
		a.log.Warn("neither --region nor --kms-egress is given: enclaves cannot reach KMS")
		return
	}
	for warned := false; ; warned = true {
		region, err := a.imds.Region(ctx)
		if err == nil {
			if err = a.egress.SetRegions([]string{region}); err == nil {
				a.log.Info("enclaves may reach KMS of the instance's region", slog.String("region", region))
				return
			}
		}
		if !warned && ctx.Err() == nil {
			a.log.Warn("cannot learn the instance's region; enclaves cannot reach KMS until then")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(regionRetry):
		}
	}
}

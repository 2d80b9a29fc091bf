package front

import "redoubt/wire/parentapi"

// Route is a route of the server, for metrics and logs: a closed set.
type Route uint8

// Routes.
const (
	RouteUnknown Route = iota
	RouteDecrypt
	RouteV1Decrypt
	RouteBatch
	RouteDomains
	RouteDomainWrap
	RouteVaultKeys
	RouteReseal
	RouteAttestation
	RouteEnclaves
	RouteHealth
	RouteReady

	// Routes is the number of routes.
	Routes = int(RouteReady) + 1
)

var routes = [Routes]struct {
	path string
	post bool
	// open routes need no authentication. They are for health checks and tell nothing about the data.
	open bool
}{
	RouteUnknown:     {path: "unknown", open: true},
	RouteDecrypt:     {path: parentapi.PathDecrypt, post: true},
	RouteV1Decrypt:   {path: parentapi.PathV1Decrypt, post: true},
	RouteBatch:       {path: parentapi.PathBatch, post: true},
	RouteDomains:     {path: parentapi.PathDomains, post: true},
	RouteDomainWrap:  {path: parentapi.PathDomainWrap, post: true},
	RouteVaultKeys:   {path: parentapi.PathVaultKeys, post: true},
	RouteReseal:      {path: parentapi.PathReseal, post: true},
	RouteAttestation: {path: "/v1/attestation"},
	RouteEnclaves:    {path: "/enclaves"},
	RouteHealth:      {path: "/health", open: true},
	RouteReady:       {path: "/ready", open: true},
}

// String is the route's path, or "unknown".
func (r Route) String() string { return routes[r].path }

// maxBody is the largest body of the route's requests, in bytes.
func (r Route) maxBody() int {
	switch r { //nolint:exhaustive // all others are alike
	case RouteBatch:
		return MaxBatchBody
	case RouteReseal:
		return parentapi.MaxResealBody
	}
	return MaxBody
}

// routeOf finds the route of a path as it was sent. A path that would need decoding or cleaning to be a route's path
// is unknown, as it is to the rules of a firewall.
func routeOf(path []byte) Route {
	for i := RouteUnknown + 1; int(i) < Routes; i++ {
		if string(path) == routes[i].path {
			return i
		}
	}
	return RouteUnknown
}

// problems reports whether the route's errors are RFC 9457 problem details. The other routes use the reference's
// form.
func (r Route) problems(path []byte) bool {
	return r >= RouteV1Decrypt && r <= RouteAttestation ||
		r == RouteUnknown && len(path) >= 4 && string(path[:4]) == "/v1/"
}

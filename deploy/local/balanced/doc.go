// Package balanced tests the behaviour behind a load balancer, with the real programs and haproxy in place of the
// network load balancer. Parents and enclaves are restarted and certificates replaced under open-loop load without a
// failed request. A PROXY header counts only if it comes from the balancer. TLS, client certificates included, ends
// in the parent.
//
// haproxy runs in mode tcp, as an NLB's listener of protocol TCP works: it forwards connections, tries no second
// server, and learns from /ready of the metrics listener which servers get new ones. No caller here retries anything:
// a request that is not answered with what was sealed counts as failed.
//
// The tests need haproxy, and so the build tag operate; `make test-operate` installs it and runs them.
package balanced

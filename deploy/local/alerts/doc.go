// Package alerts causes, at the real programs beside a Prometheus, the fault that each alert of deploy/prometheus is
// for, and demands that the alert fires; and that none fires while nothing is wrong.
//
// The rules are those files, with every time in them (for, ranges, offsets) a sixtieth: an hour is a minute. What
// cannot be caused here is listed in the test with its reason, and is shown by alerts_test.yaml alone.
//
// The test needs Prometheus, and so the build tag operate; `make test-operate` installs it and runs it.
package alerts

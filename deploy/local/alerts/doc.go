// Package alerts shows that each alert of deploy/prometheus fires. It causes the alert's fault in the real programs
// beside a Prometheus, and requires the alert to fire, and no alert to fire while nothing is wrong.
//
// The rules are those files, with every time in them (for, ranges, offsets) divided by sixty: an hour becomes a
// minute. The test lists the faults that cannot be caused here, each with its reason. For those only alerts_test.yaml
// shows the alert.
//
// The test needs Prometheus, and so the build tag operate; `make test-operate` installs it and runs it.
package alerts

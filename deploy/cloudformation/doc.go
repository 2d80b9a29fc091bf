// Package cloudformation holds the templates of a deployment, and nothing of Go but their tests.
//
// What the tests hold true of the templates: no set of parameters lets anyone decrypt outside a measured image; what
// functions and hosts are given (variables, flags, files, handler) is what the programs read, shown by running them
// with it; what alarms and scaling watch is what the programs tell; and the table of properties in properties_test.go.
// The templates are evaluated as CloudFormation does, for the functions that they use; any other is an error.
//
// With the build tag operate, the commands of deploy/README.md are run as they stand there, from an empty account to a
// decrypt and on to the next release. It takes moto and the AWS command line: make test-walk installs them.
package cloudformation

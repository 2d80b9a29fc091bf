// Package cli is the command line of api, for operators: the server, the Lambda host, and the operator's commands.
//
// Every command exits 0 on success, 1 if it could not do what was asked, and 2 for a wrong command line. Errors go to
// standard error with a hint of what to do. With --json, results go to standard output as one JSON object. No command
// prints a stored value except "vault decrypt", whose purpose that is.
package cli

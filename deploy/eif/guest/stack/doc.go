// Package stack runs the production enclave, the parent and the KMS stand-in as processes of one test guest, joined by
// real AF_VSOCK over the loopback CID, and drives them from outside. It is a test program for the guest alone.
package stack

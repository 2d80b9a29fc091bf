// Package guest boots the production enclave in guests that have a vsock and a Nitro Security Module, without AWS:
// QEMU's nitro-enclave machine and its virtio-nsm, and Linux's own drivers. Its tests need that testbed, so they have
// the build tag guest; `make test-enclave` prepares the testbed and runs them.
package guest

// Package config reads the enclave's one configuration file.
//
// # Guarantee
//
// The file is part of the measured image (PCR0 and PCR2), so its content is attested. Nothing else configures an
// enclave: no flag, no environment variable and no message of the parent can widen what the file allows. In a
// production build the path is fixed ([Path]). `--config FILE` and the key `soft_nsm` exist only under the build tag
// `dev`, and a production build refuses `soft_nsm` as an unknown key.
//
// Reading is strict: an unknown or doubled key, a second document, a value out of its limits or a key ARN that does
// not belong to its region is an error that names the key. An enclave with a bad file does not start.
//
// # Against whom
//
// It protects against an operator's mistake, and against a parent that would like another KMS key, endpoint or trust
// root to be used. It does not protect against somebody who may change the image: that changes the measurements, and
// the key policy then refuses the enclave.
//
// # Example
//
//	listen: vsock://any:5050
//	allowed_cids: [3]
//	keys:
//	  us-east-1: arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab
//	cache:
//	  key_ttl: 5m
package config

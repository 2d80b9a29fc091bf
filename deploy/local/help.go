package main

import "github.com/alecthomas/kong"

// vars are the texts of flags that would make their lines too long, by the name that the tag refers to.
var vars = kong.Vars{
	"state":          ".local",
	"help_listen":    "Plain listener, protocol and admin routes: loopback host:port or unix:///path.",
	"help_tlslisten": "TLS listener, protocol alone. Empty: none.",
	"help_state":     "Folder of keys and CA, made when missing.",
	"help_root": "PEM file of a root certificate that attestation documents may chain to. Repeatable; " +
		"without one every attested call is refused.",
	"help_allow_pcr": "Measurement that Decrypt demands, as INDEX=HEX. Repeatable: every index must match one " +
		"of its values. Replaces the key's policy.",
	"help_policy": "Key policy (JSON) that replaces the key's.",
	"help_unsigned": "DANGER: take attestation documents without a signature, as QEMU makes them. " +
		"They prove nothing.",
	"help_bin":        "Folder with the programs enclave (tag dev), parent and api. Default: they are built.",
	"help_state2":     "Folder of keys, configuration and examples, made when missing.",
	"help_apimetrics": "API's metrics address.",
	"help_kmstls":     "KMS stand-in's TLS address.",
	"help_probe":      "How often the enclave opens a probe key, 0s to 1h; 0s: there is none.",
}

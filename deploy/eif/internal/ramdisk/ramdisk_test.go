package ramdisk

import (
	"bytes"
	"strings"
	"testing"
)

var elf = []byte("\x7fELF program")

func TestConfigurationIsInNoOtherRamdiskThanItsOwn(t *testing.T) {
	code, err := Code(elf, []Module{{Name: "x/nsm.ko", Data: elf}})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := Config([]byte("keys: {}\n"), []File{{Name: "x/kms-ca.pem", Data: []byte("PEM")}})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(code, []byte("enclave.yaml")) || !bytes.Contains(conf, []byte("etc/redoubt/enclave.yaml")) {
		t.Fatal("the configuration is not in the second ramdisk alone")
	}
	if !bytes.Contains(conf, []byte("etc/redoubt/kms-ca.pem\x00")) {
		t.Fatal("a file that the configuration names is not beside it")
	}
	if bytes.Contains(conf, []byte("init\x00")) || !bytes.Contains(code, []byte("modules/00-nsm.ko")) {
		t.Fatal("code is not in the first ramdisk alone")
	}
}

func TestCompressedModulesAndScriptsAreRefusedWithAHint(t *testing.T) {
	_, err := Code(elf, []Module{{Name: "nsm.ko.xz", Data: []byte("\xfd7zXZ")}})
	if err == nil || !strings.Contains(err.Error(), "decompress") {
		t.Fatalf("compressed module: %v", err)
	}
	if _, err := Code([]byte("#!/bin/sh"), nil); err == nil {
		t.Fatal("a script was taken as the enclave")
	}
}

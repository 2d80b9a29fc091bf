package kms

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestKeysSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		s, err := OpenStore(dir, DefaultRegion, DefaultAccount, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := open()
	key, err := first.Find(AliasSymmetric)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := sealBlob(key, []byte("secret"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.SetPolicy(AliasSymmetric, []byte(allowAll)); err != nil {
		t.Fatal(err)
	}
	if err := first.SetState(AliasMAC, StateDisabled); err != nil {
		t.Fatal(err)
	}
	second := open()
	again, err := second.Find(key.ARN())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := openBlob(again, blob, nil); err != nil || string(got) != "secret" {
		t.Fatal(err)
	}
	if !again.policy.Allows(&Facts{Action: "kms:Decrypt"}) {
		t.Error("the policy is lost")
	}
	if mac, err := second.Find(AliasMAC); err != nil || mac.State != StateDisabled {
		t.Error("the state is lost")
	}
}

func TestTheKeysFileIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := OpenStore(dir, DefaultRegion, DefaultAccount, time.Now()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, KeysFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(dir, DefaultRegion, DefaultAccount, time.Now()); err == nil {
		t.Error("a file that others may read was accepted")
	}
}

func TestADamagedKeysFileIsNamedAndNotReplaced(t *testing.T) {
	for name, content := range map[string]string{
		"cut": `{"version":1,`, "version": `{"version":2,"keys":[]}`,
		"key": `{"version":1,"keys":[{"id":"x","alias":"alias/a"}]}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, KeysFile)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenStore(dir, DefaultRegion, DefaultAccount, time.Now()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
			t.Errorf("%s: the file was touched", name)
		}
	}
}

func TestTheCASurvivesARestartAndIsLimitedToLoopback(t *testing.T) {
	dir := t.TempDir()
	first, err := OpenCA(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenCA(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !first.cert.Equal(second.cert) || !second.cert.PermittedDNSDomainsCritical {
		t.Error("another authority, or one without limits")
	}
	if info, err := os.Stat(filepath.Join(dir, CAKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "10.0.0.1:0", "example.com:0", "nonsense"} {
		ln, err := Listen(context.Background(), address)
		if err == nil {
			ln.Close()
			t.Errorf("%s: listens", address)
		}
	}
	if _, err := Listen(context.Background(), "0.0.0.0:0"); !errors.Is(err, ErrNotLoopback) {
		t.Errorf("error %v", err)
	}
	dir, err := os.MkdirTemp("", "rd")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ln, err := Listen(context.Background(), "unix://"+filepath.Join(dir, "k"))
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
}

func blobKey(t interface{ Fatal(...any) }, seed byte) *Key {
	aead, err := newAEAD(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return &Key{raw: [blobKeyIDLen]byte{seed}, aead: aead}
}

func TestBlobsOpenUnderTheirKeyAndContextAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := blobKey(t, 1)
		plaintext := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "plaintext")
		ec := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "context")
		blob, err := sealBlob(key, plaintext, ec)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := openBlob(key, blob, ec); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatal("does not open")
		}
		i := rapid.IntRange(0, len(blob)*8-1).Draw(t, "bit")
		blob[i/8] ^= 1 << (i % 8)
		if _, err := openBlob(key, blob, ec); err == nil {
			t.Fatalf("bit %d is not authenticated", i)
		}
		blob[i/8] ^= 1 << (i % 8)
		ec[rapid.String().Draw(t, "more")] += "x"
		if _, err := openBlob(key, blob, ec); err == nil {
			t.Fatal("the context is not authenticated")
		}
		if _, err := openBlob(blobKey(t, 2), blob, ec); err == nil {
			t.Fatal("the key is not authenticated")
		}
	})
}

func FuzzOpenBlob(f *testing.F) {
	key := blobKey(f, 1)
	good, err := sealBlob(key, []byte("plaintext"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:len(good)-1])
	f.Add([]byte(blobMagic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		if _, err := openBlob(key, blob, nil); err == nil && !bytes.Equal(blob, good) {
			t.Error("a forged blob opened")
		}
	})
}

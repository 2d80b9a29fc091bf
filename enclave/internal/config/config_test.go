package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	arn     = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	minimal = "keys:\n  us-east-1: " + arn + "\n"
)

func TestAMinimalFileGetsEveryDefault(t *testing.T) {
	c, err := Parse([]byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	if c.Listen != want.Listen || c.Cache != want.Cache || c.Work != want.Work || c.Sessions != want.Sessions ||
		c.Memory != want.Memory || c.DrainTimeout != want.DrainTimeout || c.Logs != want.Logs ||
		!slices.Equal(c.Machine.ClockSources, want.Machine.ClockSources) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if len(c.AllowedCIDs) != 1 || c.AllowedCIDs[0] != 3 {
		t.Errorf("allowed_cids = %v, want [3]", c.AllowedCIDs)
	}
	if c.PeerPorts != PortsPrivileged {
		t.Errorf("peer_ports = %q, want privileged", c.PeerPorts)
	}
}

func TestAPartialSectionKeepsTheOtherDefaults(t *testing.T) {
	c, err := Parse([]byte(minimal + "cache:\n  key_ttl: 90s\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Cache.KeyTTL != 90*time.Second || c.Cache.Keys != DefaultCacheKeys {
		t.Errorf("cache = %+v", c.Cache)
	}
}

func TestTheHMACRegionFollowsFromASingleKey(t *testing.T) {
	c, err := Parse([]byte(minimal + "hmac_key: AAEC\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.HMACRegion != "us-east-1" || string(c.WrappedHMACKey()) != "\x00\x01\x02" {
		t.Errorf("hmac_region = %q", c.HMACRegion)
	}
}

func TestABadFileIsRefusedByName(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", "keys: must map"},
		{"unknown key", minimal + "surprise: 1\n", "surprise"},
		{"unknown nested key", minimal + "cache:\n  ttl: 5m\n", "ttl"},
		{"doubled key", minimal + minimal, "keys"},
		{"part of a number", minimal + "work: {queue: 99.5}\n", "must be a whole number"},
		{"second document", minimal + "---\nlisten: unix:///x\n", "more than one document"},
		{"not a map", "- a\n", "line 1"},
		{"alias", "keys:\n  us-east-1: alias/redoubt\n", "keys.us-east-1"},
		{"alias ARN", "keys:\n  us-east-1: arn:aws:kms:us-east-1:111122223333:alias/redoubt\n", "an alias is refused"},
		{"region of another", "keys:\n  us-west-2: " + arn + "\n", "keys.us-west-2: the key is of region us-east-1"},
		{"no region", "keys:\n  Virginia: " + arn + "\n", `"Virginia" is not an AWS region`},
		{"listen", minimal + "listen: tcp://0.0.0.0:1\n", "listen"},
		{"no CID", minimal + "allowed_cids: []\n", "allowed_cids"},
		{"unknown peer ports", minimal + "peer_ports: low\n", "peer_ports"},
		{"no peer ports", minimal + "peer_ports: ''\n", "peer_ports"},
		{"too many CIDs", minimal + "allowed_cids: [3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]\n", "at most 16"},
		{"heartbeat", minimal + "machine: {heartbeat: 'tcp://127.0.0.1:1'}\n", "machine.heartbeat"},
		{"negative CID", minimal + "allowed_cids: [-1]\n", "line 3"},
		{"plain endpoint", minimal + "kms: {endpoint: 'http://kms'}\n", "kms.endpoint"},
		{"endpoint with a path", minimal + "kms: {endpoint: 'https://kms/x'}\n", "kms.endpoint"},
		{"endpoint with a user", minimal + "kms: {endpoint: 'https://u:p@kms'}\n", "kms.endpoint"},
		{"relative CA", minimal + "kms: {ca_file: ca.pem}\n", "kms.ca_file"},
		{"no keys cached", minimal + "cache: {keys: 0}\n", "cache.keys"},
		{"ttl without a unit", minimal + "cache: {key_ttl: 300}\n", "line 3"},
		{"ttl too long", minimal + "cache: {key_ttl: 25h}\n", "cache.key_ttl"},
		{"queue", minimal + "work: {queue: 0}\n", "work.queue"},
		{"drain", minimal + "drain_timeout: 1ms\n", "drain_timeout"},
		{"hmac not base64", minimal + "hmac_key: '!'\n", "hmac_key"},
		{"hmac region alone", minimal + "hmac_region: us-east-1\n", "hmac_region"},
		{"hmac region elsewhere", minimal + "hmac_key: AAEC\nhmac_region: us-west-2\n", "hmac_region"},
		{"too large", strings.Repeat("#", MaxFileBytes+1), "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that names %q", err, tt.want)
			}
		})
	}
}

func TestTheEnvironmentSetsNothing(t *testing.T) {
	t.Setenv("REDOUBT_LISTEN", "unix:///tmp/x")
	t.Setenv("AWS_ENDPOINT_URL_KMS", "https://evil")
	c, err := Parse([]byte("listen: vsock://any:5050\nkms: {endpoint: ''}\n" + minimal))
	if err != nil || c.KMS.Endpoint != "" || c.Listen != DefaultListen {
		t.Errorf("config %+v, error %v", c, err)
	}
	if _, err := Parse([]byte(minimal + "kms: {ca_file: $HOME/ca.pem}\n")); err == nil {
		t.Error("a variable was expanded")
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enclave.yaml")
	if _, err := Load(path); err == nil {
		t.Fatal("a missing file was read")
	}
	if err := os.WriteFile(path, []byte("listen: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name the file", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(minimal + "hmac_key: AAEC\ncache: {keys: 1}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err == nil && len(c.Keys) == 0 {
			t.Error("a file without keys was accepted")
		}
	})
}

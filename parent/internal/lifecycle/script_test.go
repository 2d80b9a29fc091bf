package lifecycle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nitroScript answers as nitro-cli does, from files in its folder: list.json is what describe-enclaves prints; each
// other call is noted in calls; fail-COMMAND makes a command fail as nitro-cli fails, slow-COMMAND makes it hang.
const nitroScript = `#!/bin/sh
dir=$(dirname "$0")
echo "$@" >> "$dir/calls"
cmd=$1
if [ -e "$dir/slow-$cmd" ]; then exec sleep 60; fi
if [ -e "$dir/fail-$cmd" ]; then
  echo "[ E26 ] Insufficient memory available. S3NTINEL /home/ec2-user" >&2
  echo "If you open a support ticket, please provide the error log found at ..." >&2
  exit 26
fi
case $cmd in
describe-enclaves) cat "$dir/list.json" ;;
run-enclave)
  cat "$dir/next.json" > "$dir/list.json"
  echo "Start allocating memory..." >&2
  echo "Started enclave with enclave-cid: 17, memory: 512 MiB, cpu-ids: [1]" >&2
  cat <<END
{
  "EnclaveName": "enclave-vault",
  "EnclaveID": "i-05f6ed443ae428c95-enc173dfe3e2b1c87b",
  "ProcessID": 7077,
  "EnclaveCID": 17,
  "NumberOfCPUs": 1,
  "CPUIDs": [1],
  "MemoryMiB": 512
}
END
  ;;
terminate-enclave)
  echo "[]" > "$dir/list.json"
  echo "Successfully terminated enclave $3." >&2
  echo "{ \"EnclaveID\": \"$3\", \"Terminated\": true }" ;;
*) exit 1 ;;
esac
`

// described is one enclave as describe-enclaves prints it.
const described = `{
    "EnclaveName": "enclave-vault",
    "EnclaveID": "i-05f6ed443ae428c95-enc173dfe3e2b1c87b",
    "ProcessID": 7077,
    "EnclaveCID": 17,
    "NumberOfCPUs": 1,
    "CPUIDs": [ 1 ],
    "MemoryMiB": 512,
    "State": "RUNNING",
    "Flags": "NONE",
    "Measurements": {
      "HashAlgorithm": "Sha384 { ... }",
      "PCR0": "ab01",
      "PCR1": "cd02",
      "PCR2": "ef03"
    }
  }`

// script is a folder with the program in it.
type script struct {
	t   *testing.T
	dir string
}

func newScript(t *testing.T) *script {
	t.Helper()
	s := &script{t, t.TempDir()}
	s.write("nitro-cli", nitroScript)
	if err := os.Chmod(s.path("nitro-cli"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("list.json", "[]")
	s.write("next.json", "["+described+"]")
	return s
}

func (s *script) path(name string) string { return filepath.Join(s.dir, name) }

func (s *script) cli() NitroCLI { return NitroCLI{Path: s.path("nitro-cli")} }

func (s *script) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *script) remove(name string) {
	s.t.Helper()
	if err := os.Remove(s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

// calls are the commands so far, without describe-enclaves.
func (s *script) calls() (out []string) {
	b, err := os.ReadFile(s.path("calls"))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, cmdDescribe) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// list is an array of enclaves as describe-enclaves prints it.
func list(e ...Enclave) string {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return string(b)
}

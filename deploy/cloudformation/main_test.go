package cloudformation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"redoubt/wire/kit/test/proctest"
)

// bin is the folder of the programs, built once, and stubs that of the stand-ins for what a host has.
var bin, stubs string

// tools are the programs of a host that the user data calls and a test cannot let run: this test program plays them.
var tools = []string{
	"dnf", "useradd", "aws", "jq", "chgrp", "install", "systemctl", "curl", "nitro-cli", "cfn-signal",
	"amazon-cloudwatch-agent-ctl", "seq", "sleep",
}

func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); slices.Contains(tools, name) {
		os.Exit(play(name, os.Args[1:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	for _, entry := range os.Environ() { // what the machine says of AWS is not for the programs
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // with the race detector each tool would sleep a second at its end
	dir, err := os.MkdirTemp("", "rdcf")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin, stubs = filepath.Join(dir, "bin"), filepath.Join(dir, "stubs")
	out, err := proctest.Run("go", "build", "-o", bin+"/", "redoubt/parent", "redoubt/api", "redoubt/deploy/canary")
	if err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s\n", err, out)
		return 1
	}
	self, err := os.Executable()
	if err == nil {
		err = os.Mkdir(stubs, 0o755)
	}
	for _, name := range tools {
		if err == nil {
			err = os.Symlink(self, filepath.Join(stubs, name))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// program is the path of a built program. It looks at the folders of its sources, so that go test knows that a result it
// keeps is of these.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, folder := range []string{"parent", "api", "wire", "deploy/canary"} {
		err := filepath.WalkDir(filepath.Join("../..", folder), func(_ string, _ os.DirEntry, err error) error { return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(bin, name)
}

// play does what a tool would, as far as the user data needs it, and notes the call in $CALLS.
func play(name string, args []string) int {
	calls, err := os.OpenFile(os.Getenv("CALLS"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(calls, name, strings.Join(args, " "))
		_ = calls.Close()
	}
	switch {
	case err != nil:
	case os.Getenv("FAIL") != "" && strings.HasPrefix(name+" "+strings.Join(args, " "), os.Getenv("FAIL")):
		err = errors.New("fails")
	case name == "aws" && args[0] == "logs":
		err = keepEvents(args)
	case name == "aws" && args[0] == "s3": // aws s3 cp --quiet --region R s3://BUCKET/RELEASE/NAME NAME
		n := len(args)
		err = link(filepath.Join(os.Getenv("RELEASE"), filepath.Base(args[n-2])), args[n-1])
	case name == "aws" && args[0] == "kms": // generate-data-key-pair-without-plaintext
		err = copyOut(os.Getenv("PROBE"))
	case name == "aws": // secretsmanager get-secret-value
		err = copyOut(os.Getenv("SECRET"))
	case name == "jq":
		err = pick(strings.TrimPrefix(args[1], "."))
	case name == "install":
		err = install(args)
	case name == "systemctl" && os.Getenv("START") != "" && slices.Contains(args, "--now"):
		err = ofMachine("curl", []string{"--silent", "--fail-with-body", os.Getenv("START")}) // who runs the walk starts them
	case name == "curl" && os.Getenv("METRICS") != "":
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "127.0.0.1:9180", os.Getenv("METRICS"))
		}
		err = ofMachine(name, args)
	case name == "curl" && slices.Contains(args, "--fail") && os.Getenv("READY") == "never":
		err = errors.New("503")
	case name == "seq": // how often something is tried
		fmt.Println("1 2 3")
	case name == "nitro-cli":
		fmt.Println("[]")
	case name == "curl":
		fmt.Println(`{"ready":false,"failing":["enclave_ready"]}`)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, name, err)
		return 1
	}
	return 0
}

// ofMachine runs the program of that name that the machine has.
func ofMachine(name string, args []string) error {
	out, err := proctest.Run("/usr/bin/"+name, args...)
	_, _ = os.Stdout.Write(out)
	return err
}

// keepEvents keeps what is put into a log beside the calls.
func keepEvents(args []string) error {
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "file://"); ok {
			return link(file, os.Getenv("CALLS")+".events")
		}
	}
	return nil
}

func link(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

func copyOut(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

func pick(key string) error {
	data, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var values map[string]string
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	v, ok := values[key]
	if !ok {
		return fmt.Errorf("no %s", key)
	}
	fmt.Println(v)
	return nil
}

// install is install(1) without owners, who do not exist here.
func install(args []string) error {
	var kept []string
	for i := 0; i < len(args); i++ {
		if args[i] == "-o" || args[i] == "-g" {
			i++
			continue
		}
		kept = append(kept, args[i])
	}
	return ofMachine("install", kept)
}

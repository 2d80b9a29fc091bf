package nsm

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"redoubt/wire/kit/attest"
)

// fakeDriver answers as Linux's nsm driver does, in place of the system call.
type fakeDriver struct {
	mu     sync.Mutex
	opened int
	closed int
	refuse error // of open
	errno  syscall.Errno
	answer func(request any) any
}

func (f *fakeDriver) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fakeDriver) open() (channel, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return nil, f.refuse
	}
	f.opened++
	return f, nil
}

func (f *fakeDriver) exchange(asked, said []byte) (int, error) {
	if f.errno != 0 {
		return 0, f.errno
	}
	var request any
	if err := cbor.Unmarshal(asked, &request); err != nil {
		return 0, syscall.EINVAL
	}
	answer, err := cbor.Marshal(f.answer(request))
	if err != nil || len(answer) > len(said) {
		return 0, syscall.EMSGSIZE
	}
	return copy(said, answer), nil
}

func newDevice(f *fakeDriver) *device { return &device{open: f.open} }

func answering(answer any) *fakeDriver {
	return &fakeDriver{answer: func(any) any { return answer }}
}

func refusing(name string) *fakeDriver { return answering(map[string]string{"Error": name}) }

func TestDeviceIsOpenedByTheFirstCallAndOnce(t *testing.T) {
	f := answering(map[string]any{"GetRandom": map[string]any{"random": []byte{1, 2, 3}}})
	d := newDevice(f)
	if f.opened != 0 {
		t.Fatal("opened before it was needed")
	}
	p := make([]byte, 7)
	for range 3 {
		if err := d.Random(p); err != nil {
			t.Fatal(err)
		}
	}
	if want := []byte{1, 2, 3, 1, 2, 3, 1}; !bytes.Equal(p, want) {
		t.Errorf("random bytes %v, want %v", p, want)
	}
	if f.opened != 1 {
		t.Errorf("opened %d times", f.opened)
	}
	if err := d.Close(); err != nil || f.closed != 1 {
		t.Errorf("close: %v, closed %d times", err, f.closed)
	}
	if err := d.Random(p); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestDeviceThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	f := answering(map[string]any{"GetRandom": map[string]any{"random": []byte{9}}})
	f.refuse = os.ErrNotExist
	d := newDevice(f)
	if err := d.Random(make([]byte, 1)); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v, want %v", err, ErrUnavailable)
	}
	f.refuse = nil
	if err := d.Random(make([]byte, 1)); err != nil {
		t.Errorf("after the device came: %v", err)
	}
}

func TestAttestPassesFieldsAsTheyAre(t *testing.T) {
	var got map[any]any
	f := &fakeDriver{answer: func(request any) any {
		got, _ = request.(map[any]any)["Attestation"].(map[any]any)
		return map[string]any{"Attestation": map[string]any{"document": []byte("document")}}
	}}
	document, err := newDevice(f).Attest([]byte("user"), []byte("nonce"), nil)
	if err != nil || string(document) != "document" {
		t.Fatalf("%q, %v", document, err)
	}
	if u, _ := got["user_data"].([]byte); string(u) != "user" {
		t.Errorf("user data %v", got["user_data"])
	}
	if n, _ := got["nonce"].([]byte); string(n) != "nonce" {
		t.Errorf("nonce %v", got["nonce"])
	}
	if key, there := got["public_key"]; !there || key != nil {
		t.Errorf("public key is %v, want null", key)
	}
}

func TestRegisters(t *testing.T) {
	value := bytes.Repeat([]byte{7}, attest.MeasurementSize)
	d := newDevice(&fakeDriver{answer: func(request any) any {
		fields, _ := request.(map[any]any)
		for name := range fields {
			switch name {
			case "DescribePCR":
				return map[string]any{"DescribePCR": map[string]any{"lock": true, "data": value}}
			case "ExtendPCR":
				return map[string]any{"ExtendPCR": map[string]any{"data": value}}
			case "LockPCR":
				return "LockPCR"
			}
		}
		return map[string]any{"DescribeNSM": map[string]any{
			"version_major": 1, "module_id": "i-1-enc2", "max_pcrs": 32, "locked_pcrs": []int{0, 1}, "digest": "SHA384",
		}}
	}})
	if got, locked, err := d.PCR(3); err != nil || !locked || !bytes.Equal(got[:], value) {
		t.Errorf("PCR: %v %v %v", got, locked, err)
	}
	if got, err := d.Extend(16, []byte("x")); err != nil || !bytes.Equal(got[:], value) {
		t.Errorf("Extend: %v %v", got, err)
	}
	if err := d.Lock(16); err != nil {
		t.Errorf("Lock: %v", err)
	}
	said, err := d.Describe()
	if err != nil || said.ModuleID != "i-1-enc2" || said.MaxPCRs != 32 || len(said.Locked) != 2 || said.Digest != "SHA384" {
		t.Errorf("Describe: %+v %v", said, err)
	}
}

func TestErrorsOfTheModuleAreTyped(t *testing.T) {
	for _, tt := range []struct {
		name   string
		driver *fakeDriver
		want   error
	}{
		{"locked register", refusing("ReadOnlyIndex"), ErrLocked},
		{"refusal", refusing("InvalidOperation"), ErrRefused},
		{"refusal of unknown name", refusing("Something"), ErrRefused},
		{"another request's answer", answering("LockPCR"), ErrRefused},
		{"an answer without a value", answering(map[string]any{"ExtendPCR": map[string]any{}}), ErrRefused},
		{"a value of wrong length", answering(map[string]any{"ExtendPCR": map[string]any{"data": []byte{1}}}), ErrRefused},
		{"not an answer", answering([]int{1}), ErrUnavailable},
		{"ioctl fails", &fakeDriver{errno: syscall.EIO}, ErrUnavailable},
		{"no device", &fakeDriver{refuse: os.ErrPermission}, ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newDevice(tt.driver).Extend(16, []byte("x"))
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestEmptyAnswersAreRefused(t *testing.T) {
	d := newDevice(answering(map[string]any{"Error": ""}))
	_, attestErr := d.Attest(nil, nil, nil)
	_, describeErr := d.Describe()
	_, _, registerErr := d.PCR(0)
	for name, err := range map[string]error{
		"attest": attestErr, "describe": describeErr, "register": registerErr, "random": d.Random(make([]byte, 1)),
	} {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArgumentsAreCheckedBeforeTheModuleIsAsked(t *testing.T) {
	d := newDevice(&fakeDriver{refuse: os.ErrNotExist}) // would be ErrUnavailable
	long := make([]byte, MaxPublicKey+1)
	_, userData := d.Attest(long, nil, nil)
	_, nonce := d.Attest(nil, long, nil)
	_, key := d.Attest(nil, nil, long)
	_, extendIndex := d.Extend(32, []byte("x"))
	_, extendEmpty := d.Extend(16, nil)
	_, extendLong := d.Extend(16, long)
	_, _, register := d.PCR(-1)
	for name, err := range map[string]error{
		"user data": userData, "nonce": nonce, "public key": key, "index to extend": extendIndex,
		"no data": extendEmpty, "too much data": extendLong, "negative index": register, "index to lock": d.Lock(32),
	} {
		if !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheIoctlFailsCleanlyOnAnotherDevice(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{open: func() (channel, error) { return &driver{file: file}, nil }}
	if _, err := d.Describe(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want %v", err, ErrUnavailable)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseWaitsForCallsUnderWay(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	d := newDevice(&fakeDriver{answer: func(any) any {
		close(entered)
		<-release
		return map[string]any{"GetRandom": map[string]any{"random": []byte{1}}}
	}})
	asked := make(chan error, 1)
	go func() { asked <- d.Random(make([]byte, 1)) }()
	<-entered
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	close(release)
	if err := <-asked; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
}

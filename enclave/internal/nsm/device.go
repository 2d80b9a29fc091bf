package nsm

import (
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"github.com/hf/nsm/request"
	"github.com/hf/nsm/response"

	"redoubt/wire/kit/attest"
	"redoubt/wire/kit/secret"
)

// The driver's limits of a message.
const (
	maxRequest  = 0x1000
	maxResponse = 0x3000
)

// A channel carries one encoded request. It fills answer with the response, and returns the response's length.
type channel interface {
	exchange(request, answer []byte) (int, error)
	Close() error
}

// device is /dev/nsm.
type device struct {
	open func() (channel, error)

	mu     sync.Mutex
	opened channel
	users  sync.WaitGroup // running calls; Close waits for them
	closed bool
}

// Open returns the machine's module. The first call that needs /dev/nsm opens it, and a later call tries again if
// opening failed. So a process without a module starts, and can say what is wrong.
func Open() Module { return &device{open: openDriver} }

// acquire returns the open channel and counts a user of it. The caller must call d.users.Done.
func (d *device) acquire() (channel, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	if d.opened == nil {
		opened, err := d.open()
		if err != nil {
			return nil, fmt.Errorf("%w: cannot open /dev/nsm (is its driver in the image?)", ErrUnavailable)
		}
		d.opened = opened
	}
	d.users.Add(1)
	return d.opened, nil
}

// send asks the module. An answer with an error name becomes ErrRefused or ErrLocked.
func (d *device) send(req request.Request) (response.Response, error) {
	var answer response.Response
	asked, err := cbor.Marshal(req.Encoded())
	if err != nil || len(asked) > maxRequest {
		return answer, fmt.Errorf("%w: request is not encodable", ErrArgument)
	}
	said := make([]byte, maxResponse)
	defer secret.Wipe(said) // it may be entropy
	n, err := d.exchange(asked, said)
	if err != nil {
		return answer, err
	}
	if err := cbor.Unmarshal(said[:n], &answer); err != nil {
		return response.Response{}, fmt.Errorf("%w: answer does not parse", ErrUnavailable)
	}
	switch answer.Error {
	case "":
		return answer, nil
	case response.ECReadOnlyIndex:
		return response.Response{}, ErrLocked
	}
	return response.Response{}, fmt.Errorf("%w: %s", ErrRefused, errorName(answer.Error))
}

func (d *device) exchange(asked, said []byte) (int, error) {
	opened, err := d.acquire()
	if err != nil {
		return 0, err
	}
	defer d.users.Done()
	n, err := opened.exchange(asked, said)
	if err != nil {
		return 0, fmt.Errorf("%w: no answer", ErrUnavailable)
	}
	return n, nil
}

// invalidIndex is the module's name for an error that hf/nsm does not list.
const invalidIndex response.ErrorCode = "InvalidIndex"

// errorName lets only known names pass into an error's text.
func errorName(code response.ErrorCode) string {
	switch code {
	case invalidIndex, response.ECInvalidArgument, response.ECInvalidResponse, response.ECReadOnlyIndex,
		response.ECInvalidOperation, response.ECBufferTooSmall, response.ECInputTooLarge, response.ECInternalError:
		return string(code)
	}
	return "unknown error"
}

func (d *device) Attest(userData, nonce, publicKey []byte) ([]byte, error) {
	if err := checkAttest(userData, nonce, publicKey); err != nil {
		return nil, err
	}
	answer, err := d.send(&request.Attestation{UserData: userData, Nonce: nonce, PublicKey: publicKey})
	if err != nil {
		return nil, err
	}
	if answer.Attestation == nil || len(answer.Attestation.Document) == 0 {
		return nil, fmt.Errorf("%w: no document", ErrRefused)
	}
	return answer.Attestation.Document, nil
}

func (d *device) Random(p []byte) error {
	for len(p) > 0 {
		answer, err := d.send(&request.GetRandom{})
		if err != nil {
			return err
		}
		if answer.GetRandom == nil || len(answer.GetRandom.Random) == 0 {
			return fmt.Errorf("%w: no entropy", ErrRefused)
		}
		p = p[copy(p, answer.GetRandom.Random):]
		clear(answer.GetRandom.Random)
	}
	return nil
}

func (d *device) Describe() (Description, error) {
	answer, err := d.send(&request.DescribeNSM{})
	if err != nil {
		return Description{}, err
	}
	said := answer.DescribeNSM
	if said == nil {
		return Description{}, fmt.Errorf("%w: no description", ErrRefused)
	}
	out := Description{
		ModuleID: said.ModuleID, Major: said.VersionMajor, Minor: said.VersionMinor, Patch: said.VersionPatch,
		MaxPCRs: int(said.MaxPCRs), Digest: string(said.Digest),
	}
	for _, i := range said.LockedPCRs {
		out.Locked = append(out.Locked, int(i))
	}
	return out, nil
}

func (d *device) PCR(index int) (attest.Measurement, bool, error) {
	i, err := register(index)
	if err != nil {
		return attest.Measurement{}, false, err
	}
	answer, err := d.send(&request.DescribePCR{Index: i})
	if err != nil {
		return attest.Measurement{}, false, err
	}
	if answer.DescribePCR == nil {
		return attest.Measurement{}, false, fmt.Errorf("%w: no register", ErrRefused)
	}
	value, err := measurement(answer.DescribePCR.Data)
	return value, answer.DescribePCR.Lock, err
}

func (d *device) Extend(index int, data []byte) (attest.Measurement, error) {
	i, err := register(index)
	if err != nil {
		return attest.Measurement{}, err
	}
	if len(data) == 0 || len(data) > MaxExtend {
		return attest.Measurement{}, fmt.Errorf("%w: length of data", ErrArgument)
	}
	answer, err := d.send(&request.ExtendPCR{Index: i, Data: data})
	if err != nil {
		return attest.Measurement{}, err
	}
	if answer.ExtendPCR == nil {
		return attest.Measurement{}, fmt.Errorf("%w: no register", ErrRefused)
	}
	return measurement(answer.ExtendPCR.Data)
}

func (d *device) Lock(index int) error {
	i, err := register(index)
	if err != nil {
		return err
	}
	_, err = d.send(&request.LockPCR{Index: i})
	return err
}

func (d *device) Close() error {
	d.mu.Lock()
	d.closed = true
	opened := d.opened
	d.opened = nil
	d.mu.Unlock()
	if opened == nil {
		return nil
	}
	d.users.Wait()
	if err := opened.Close(); err != nil {
		return fmt.Errorf("%w: close", ErrUnavailable)
	}
	return nil
}

func checkAttest(userData, nonce, publicKey []byte) error {
	if len(userData) > MaxUserData || len(nonce) > MaxUserData || len(publicKey) > MaxPublicKey {
		return fmt.Errorf("%w: length of a field", ErrArgument)
	}
	return nil
}

func register(index int) (uint16, error) {
	if index < 0 || index >= attest.MaxPCRs {
		return 0, fmt.Errorf("%w: index of a register", ErrArgument)
	}
	return uint16(index), nil
}

func measurement(b []byte) (attest.Measurement, error) {
	if len(b) != attest.MeasurementSize {
		return attest.Measurement{}, fmt.Errorf("%w: length of a register", ErrRefused)
	}
	return attest.Measurement(b), nil
}

package kms

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"redoubt/wire"
)

// answering is a transport whose peer always says the same.
type answering struct {
	status int
	body   []byte
	header http.Header
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r,
		ContentLength: int64(len(a.body)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// FuzzAnswers gives the client what a hostile endpoint might: whatever it says, the client neither panics nor takes it
// for a key, and the error is one of the closed set.
func FuzzAnswers(f *testing.F) {
	fake := newFakeKMS(f)
	c, _ := newTestClient(f, fake)
	f.Add(200, []byte(`{"KeyId":"`+testARN+`","CiphertextForRecipient":"MIAGCSqGSIb3DQEHA6CAMIACAQIxggFrMIIBZwIBAoAg"}`), "")
	f.Add(200, []byte(`{"Plaintext":"AAAA"}`), "Mon, 02 Jan 2006 15:04:05 GMT")
	f.Add(400, []byte(`{"__type":"com.amazonaws#ThrottlingException:http://x","message":"m"}`), "")
	f.Add(400, []byte(`{"code":"AccessDeniedException","Message":7}`), "not a date")
	f.Add(503, []byte("<html>"), "")
	f.Fuzz(func(t *testing.T, status int, body []byte, date string) {
		r := c.regions[testRegion]
		r.doer.transport = &answering{
			status: 100 + abs(status)%500, body: body, header: http.Header{"Date": {date}, "X-Amzn-Errortype": {date}},
		}
		r.circuit = circuit{}
		s, _ := c.wallet.acquire(c.by, c.now())
		defer c.wallet.release(s)
		answer, failure := c.send(t.Context(), question{region: r, wrapped: []byte("w")}, s.clients[testRegion].vaults, nil)
		if failure == nil && !bytes.Contains(body, []byte("CiphertextForRecipient")) {
			t.Errorf("an envelope of %d bytes from an answer without one", len(answer))
		}
		var coded *wire.Error
		if failure != nil && (!errors.As(failure, &coded) || !coded.Code.Known() || coded.Code == wire.OK) {
			t.Errorf("failure %v", failure)
		}
	})
}

func abs(n int) int { return max(n, -(n + 1)) }

package lambdahost

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// within invokes h with so much time, in fake time, and returns the answer and what was left.
func within(t *testing.T, limit time.Duration, event string, h http.HandlerFunc) (out output, left time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		start := time.Now()
		raw, err := Handler(h, nil).Invoke(ctx, []byte(event))
		if err != nil {
			t.Fatal(err)
		}
		left = limit - time.Since(start)
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour) // what goes on ends within the bubble
	})
	return out, left
}

func TestTheAnswerComesBeforeLambdaEndsTheInvocation(t *testing.T) {
	for _, limit := range []time.Duration{29 * time.Second, 2 * time.Second} {
		heeds, left := within(t, limit, rest, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusGatewayTimeout)
		})
		if heeds.StatusCode != http.StatusGatewayTimeout || left < limit/5 && left < margin {
			t.Errorf("of %v %v are left: %+v", limit, left, heeds)
		}
		for event, code := range map[string]string{
			rest:                                    "outcome_unknown",
			strings.Replace(rest, "POST", "GET", 1): "deadline_exceeded",
		} {
			out, left := within(t, limit, event, func(_ http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				<-time.After(time.Hour)
			})
			if out.StatusCode != http.StatusServiceUnavailable || !strings.Contains(out.Body, `"code":"`+code+`"`) ||
				out.Multi["Retry-After"] == nil || left < limit/20 && left < margin/5 {
				t.Errorf("of %v %v are left: %+v", limit, left, out)
			}
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	out, _ := within(t, time.Minute, rest, func(http.ResponseWriter, *http.Request) { panic("SENTINEL") })
	if out.StatusCode != http.StatusInternalServerError || strings.Contains(out.Body, "SENTINEL") {
		t.Errorf("%+v", out)
	}
}

func TestAnAnswerThatLambdaDoesNotTakeIsAnError(t *testing.T) {
	for size, status := range map[int]int{2_900_000: 200, 3_000_001: 413} {
		out, _ := within(t, time.Minute, rest, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat(`"`, size)))
		})
		if out.StatusCode != status {
			t.Errorf("%d quotes: status %d", size, out.StatusCode)
		}
	}
	out, _ := within(t, time.Minute, rest, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat(`<`, 5_900_000))) // six bytes each if escaped for HTML
	})
	if out.StatusCode != http.StatusOK {
		t.Errorf("status %d", out.StatusCode)
	}
}

func TestTheBasePathOfACustomDomainIsTakenOff(t *testing.T) {
	const (
		restAPI = `{"path":"PATH","resource":"ROUTE","pathParameters":PARAMS,"httpMethod":"GET","requestContext":{"stage":"v1","path":"PATH"}}`
		httpAPI = `{"version":"2.0","rawPath":"PATH","routeKey":"ANY ROUTE","pathParameters":PARAMS,` +
			`"requestContext":{"stage":"$default","http":{"method":"GET"}}}`
	)
	cases := []struct{ event, path, route, params, want string }{
		{restAPI, "/pii/vaults/v_1", "/{proxy+}", `{"proxy":"vaults/v_1"}`, "/vaults/v_1"},
		{restAPI, "/pii/eu/vaults", "/{proxy+}", `{"proxy":"vaults"}`, "/vaults"},
		{restAPI, "/vaults/v_1", "/{proxy+}", `{"proxy":"vaults/v_1"}`, "/vaults/v_1"},
		{restAPI, "/pii/vaults/", "/{proxy+}", `{"proxy":"vaults"}`, "/vaults/"},
		{restAPI, "/vaults/vaults", "/{proxy+}", `{"proxy":"vaults/vaults"}`, "/vaults/vaults"},
		{restAPI, "/pii/vaults/v_1/audit", "/vaults/{id}/audit", `{"id":"v_1"}`, "/vaults/v_1/audit"},
		{restAPI, "/pii/vaults", "/vaults", `null`, "/vaults"},
		{restAPI, "/piivaults", "/{proxy+}", `{"proxy":"vaults"}`, "/piivaults"},
		{restAPI, "/pii/vaults/a%2Fb", "/{proxy+}", `{"proxy":"vaults/a/b"}`, "/pii/vaults/a%2Fb"},
		{httpAPI, "/pii/vaults/v_1", "/{proxy+}", `{"proxy":"vaults/v_1"}`, "/vaults/v_1"},
		{httpAPI, "/pii/vaults", "/vaults", `null`, "/vaults"},
		{strings.Replace(httpAPI, "ANY ROUTE", "$default", 1), "/pii/vaults", "", `null`, "/pii/vaults"},
	}
	for _, c := range cases {
		event := strings.NewReplacer("PATH", c.path, "ROUTE", c.route, "PARAMS", c.params).Replace(c.event)
		var got string
		_, err := Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI }), nil).
			Invoke(t.Context(), []byte(event))
		if err != nil || got != c.want {
			t.Errorf("%s: %s, want %s, %v", event, got, c.want, err)
		}
	}
}

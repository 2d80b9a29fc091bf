package lambdahost

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"redoubt/api/internal/auth"
)

// errEvent reports an event that is not of a known format.
var errEvent = errors.New("lambdahost: not an event of API Gateway")

// event holds what we read of either format. Version is "2.0" for HTTP APIs' own format, "1.0" for HTTP APIs that
// send REST's format, and absent for REST APIs.
type event struct {
	Version string `json:"version"`
	Body    string `json:"body"`
	Base64  bool   `json:"isBase64Encoded"`

	// Format 1.0.
	Method     string              `json:"httpMethod"`
	Path       string              `json:"path"`
	Headers    map[string]string   `json:"headers"`
	Multi      map[string][]string `json:"multiValueHeaders"`
	Query      map[string]string   `json:"queryStringParameters"`
	MultiQuery map[string][]string `json:"multiValueQueryStringParameters"`

	// Format 2.0.
	RawPath  string `json:"rawPath"`
	RawQuery string `json:"rawQueryString"`

	// These are what the gateway matched: REST's resource or the path of a route, and the values of its parameters.
	Resource   string            `json:"resource"`
	RouteKey   string            `json:"routeKey"`
	Parameters map[string]string `json:"pathParameters"`

	Context struct {
		RequestID  string         `json:"requestId"`
		Stage      string         `json:"stage"`
		Path       string         `json:"path"`
		Authorizer map[string]any `json:"authorizer"`
		Identity   struct {
			SourceIP string `json:"sourceIp"`
			UserARN  string `json:"userArn"`
		} `json:"identity"`
		HTTP struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// second reports whether the event is of format 2.0.
func (e *event) second() bool { return e.Version == "2.0" }

func parse(data []byte) (*event, error) {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, errEvent
	}
	if e.second() {
		e.Method, e.Path = e.Context.HTTP.Method, e.RawPath
		e.Context.Identity.SourceIP = e.Context.HTTP.SourceIP
	}
	if e.Method == "" || !strings.HasPrefix(e.Path, "/") {
		return nil, errEvent
	}
	return &e, nil
}

// request makes the request that the event describes.
func (e *event) request(ctx context.Context) (*http.Request, error) {
	body := []byte(e.Body)
	if e.Base64 {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return nil, errEvent
		}
	}
	if p, ok := auth.FromGateway(e.Context.Authorizer, e.Context.Identity.UserARN); ok {
		ctx = auth.WithGateway(ctx, p)
	}
	r, err := http.NewRequestWithContext(ctx, e.Method, "/", strings.NewReader(string(body)))
	clear(body)
	if err != nil {
		return nil, errEvent
	}
	r.URL = e.url()              // not parsed from text: a path that begins with two slashes would name a host
	r.RequestURI = e.pathInAPI() // the path by which routes are matched
	r.Header = e.headers()
	r.Host = r.Header.Get("Host")
	r.RemoteAddr = e.Context.Identity.SourceIP
	// This is the gateway's id, so that its logs, ours and the audit log have the same one. A caller cannot choose
	// it.
	r.Header.Set("X-Request-Id", e.Context.RequestID)
	return r, nil
}

// pathInStage is the path without a named stage. HTTP APIs leave the stage in the path in both formats. REST APIs
// remove it; only their context has the path with the stage.
func (e *event) pathInStage() string {
	httpAPI := e.second() || e.Version == "1.0" && e.Path == e.Context.Path
	named := e.Context.Stage != "" && e.Context.Stage != "$default"
	rest, ok := strings.CutPrefix(e.Path, "/"+e.Context.Stage)
	switch {
	case !httpAPI || !named || !ok || rest != "" && rest[0] != '/':
		return e.Path
	case rest == "":
		return "/"
	}
	return rest
}

// pathInAPI is the path without the base path under which a custom domain has the API. In events the base path comes
// before the path that the gateway matched, which the route and its parameters show. A route that does not show it,
// such as $default, leaves the path as it is.
func (e *event) pathInAPI() string {
	path := e.pathInStage()
	route := e.Resource
	if e.second() {
		_, route, _ = strings.Cut(e.RouteKey, " ")
	}
	for name, value := range e.Parameters {
		route = strings.NewReplacer("{"+name+"+}", value, "{"+name+"}", value).Replace(route)
	}
	if !strings.HasPrefix(route, "/") || route == "/" || strings.ContainsAny(route, "{}") {
		return path
	}
	if base, ok := strings.CutSuffix(strings.TrimSuffix(path, "/"), strings.TrimSuffix(route, "/")); ok {
		return path[len(base):]
	}
	return path
}

func (e *event) url() *url.URL {
	path := e.pathInAPI()
	u := &url.URL{Path: path}
	if unescaped, err := url.PathUnescape(path); err == nil {
		u = &url.URL{Path: unescaped, RawPath: path}
	}
	if e.second() {
		u.RawQuery = e.RawQuery
		return u
	}
	q := url.Values{}
	for k, v := range e.Query {
		q[k] = []string{v}
	}
	for k, v := range e.MultiQuery {
		q[k] = v
	}
	u.RawQuery = q.Encode()
	return u
}

func (e *event) headers() http.Header {
	h := http.Header{}
	for k, v := range e.Headers {
		h[http.CanonicalHeaderKey(k)] = []string{v}
	}
	for k, v := range e.Multi {
		h[http.CanonicalHeaderKey(k)] = v
	}
	return h
}

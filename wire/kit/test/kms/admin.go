package kms

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
)

// AdminPath is where the admin routes begin.
const AdminPath = "/_admin/"

// AdminHandler serves the routes that make the stand-in misbehave and show what it did. They take and give JSON, have
// no authentication, and belong only on a loopback listener or unix socket. Requests that a browser made for a page,
// or that came under another name than loopback, are refused.
//
//	GET    /_admin/counters               calls by operation: {"Decrypt":{"calls":2,"attested":1,"codes":{"OK":1,…}}}
//	DELETE /_admin/counters               starts again from zero
//	GET    /_admin/faults                 the faults that are set, with how often each struck
//	POST   /_admin/faults                 sets a fault or a list of them; see [Fault]
//	DELETE /_admin/faults                 clears all
//	GET    /_admin/keys                   id, ARN, alias, usage and state of each key
//	PUT    /_admin/keys/state?key=K       {"state":"Enabled"|"Disabled"|"PendingDeletion"}
//	GET    /_admin/policy?key=K           the key policy, as IAM writes it
//	PUT    /_admin/policy?key=K           replaces it; without effect when it is not understood
//	PUT    /_admin/credentials            replaces the known access keys; see [Credential]
//
// K is a key id, ARN or alias, alias/redoubt when absent. An example of a fault:
//
//	{"kind":"throttle","operation":"Decrypt","times":3}
func (s *Server) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_admin/counters", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, s.counts.snapshot())
	})
	mux.HandleFunc("DELETE /_admin/counters", func(w http.ResponseWriter, _ *http.Request) {
		s.counts.reset()
		writeJSON(w, struct{}{})
	})
	mux.HandleFunc("GET /_admin/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, s.faults.list())
	})
	mux.HandleFunc("POST /_admin/faults", s.postFaults)
	mux.HandleFunc("DELETE /_admin/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.faults.clear()
		writeJSON(w, struct{}{})
	})
	mux.HandleFunc("GET /_admin/keys", s.getKeys)
	mux.HandleFunc("PUT /_admin/keys/state", s.putKeyState)
	mux.HandleFunc("GET /_admin/policy", s.getPolicy)
	mux.HandleFunc("PUT /_admin/policy", s.putPolicy)
	mux.HandleFunc("PUT /_admin/credentials", s.putCredentials)
	return localOnly(mux)
}

// localOnly refuses what a web page could have sent: a foreign Host (DNS rebinding) or any Origin.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		addr, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !addr.IsLoopback()) || r.Header.Get("Origin") != "" {
			http.Error(w, "admin routes are for loopback", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
		next.ServeHTTP(w, r)
	})
}

func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	var list []Fault
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
		adminError(w, errors.New("body is not JSON"))
		return
	}
	if !bytes.HasPrefix(raw, []byte("[")) {
		raw = append(append([]byte("["), raw...), ']')
	}
	if err := strictJSON(raw, &list); err != nil {
		adminError(w, err)
		return
	}
	if err := s.faults.add(list); err != nil {
		adminError(w, err)
		return
	}
	s.log.Warn("faults set on command", "count", len(list))
	writeJSON(w, s.faults.list())
}

func (s *Server) getKeys(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		ID    string `json:"id"`
		ARN   string `json:"arn"`
		Alias string `json:"alias"`
		Usage string `json:"usage"`
		State string `json:"state"`
	}
	var out []entry
	s.store.mu.RLock()
	for _, k := range s.store.keys {
		out = append(out, entry{k.ID, k.arn, k.Alias, k.Usage, k.State})
	}
	s.store.mu.RUnlock()
	writeJSON(w, out)
}

func keyOf(r *http.Request) string {
	if k := r.URL.Query().Get("key"); k != "" {
		return k
	}
	return AliasSymmetric
}

func (s *Server) putKeyState(w http.ResponseWriter, r *http.Request) {
	var in struct {
		State string `json:"state"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		adminError(w, errors.New("body is not JSON"))
		return
	}
	s.adminResult(w, "key state", s.store.SetState(keyOf(r), in.State))
}

func (s *Server) getPolicy(w http.ResponseWriter, r *http.Request) {
	key, err := s.store.Find(keyOf(r))
	if err != nil {
		adminError(w, err)
		return
	}
	writeJSON(w, key.Policy)
}

func (s *Server) putPolicy(w http.ResponseWriter, r *http.Request) {
	var raw json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
		adminError(w, errors.New("body is not JSON"))
		return
	}
	s.adminResult(w, "policy", s.store.SetPolicy(keyOf(r), raw))
}

func (s *Server) putCredentials(w http.ResponseWriter, r *http.Request) {
	var list []Credential
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		adminError(w, errors.New("body is not a list of credentials"))
		return
	}
	for _, c := range list {
		if c.AccessKeyID == "" || c.SecretAccessKey == "" {
			adminError(w, errors.New("a credential needs access_key_id and secret_access_key"))
			return
		}
	}
	s.creds.set(list, s.store.account)
	s.adminResult(w, "credentials", nil)
}

func (s *Server) adminResult(w http.ResponseWriter, what string, err error) {
	if err != nil {
		adminError(w, err)
		return
	}
	s.log.Warn("changed on command", "what", what)
	writeJSON(w, struct{}{})
}

func adminError(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

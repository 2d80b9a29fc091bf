package apitest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"redoubt/api/internal/upstream"
	"redoubt/api/internal/vault"
	"redoubt/wire"
	"redoubt/wire/parentapi"
)

// parentMessage bounds, in bytes, what a request becomes on its way to the enclave.
const parentMessage = wire.MaxBody

// Parent is a parent whose enclave is o. It has a parent's limits, and is always ready.
func Parent(o vault.Opener) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST "+parentapi.PathV1Decrypt, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, parentapi.MaxBody))
		if err != nil {
			writeJSON(rw, http.StatusRequestEntityTooLarge, map[string]string{"code": "bad_request"})
			return
		}
		status, answer := ask(o, r, body)
		writeJSON(rw, status, answer)
	})
	mux.HandleFunc("POST "+parentapi.PathBatch, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, parentapi.MaxBatchBody))
		var batch struct {
			Items []json.RawMessage `json:"items"`
		}
		if err != nil || json.Unmarshal(body, &batch) != nil {
			writeJSON(rw, http.StatusRequestEntityTooLarge, map[string]string{"code": "bad_request"})
			return
		}
		items := []map[string]any{}
		for _, one := range batch.Items {
			status, answer := ask(o, r, one)
			item := map[string]any{"status": status}
			if res, ok := answer.(*upstream.Result); ok {
				item["fields"], item["errors"], item["access"], item["sealed"] = res.Fields, res.Errors, res.Access, res.Sealed
			} else {
				item["error"] = answer
			}
			items = append(items, item)
		}
		writeJSON(rw, http.StatusOK, map[string]any{"items": items})
	})
	return mux
}

// ask lets o open what a body asks for. The answer is a *upstream.Result for 200, else a problem.
func ask(o vault.Opener, r *http.Request, body []byte) (int, any) {
	var in parentapi.Request[[]byte]
	err := json.Unmarshal(body, &in)
	size := 0
	for name, blob := range in.Fields {
		size += len(name) + len(blob)
	}
	for name, source := range in.Expressions {
		size += len(name) + len(source)
	}
	encoding, encodingErr := strconv.Atoi(in.Encoding)
	if err != nil || encodingErr != nil || size > parentMessage {
		return http.StatusBadRequest, map[string]string{"code": wire.BadRequest.String()}
	}
	asked := &upstream.Request{
		VaultID: in.VaultID, SuiteID: in.SuiteID, WrappedKey: in.WrappedKey, Encoding: encoding,
		KeyContext: in.KeyContext == 1, Fields: in.Fields, Expressions: in.Expressions,
		Compat: in.Compat, ReplyKey: in.ReplyKey,
	}
	if in.Include != nil {
		asked.Include = &in.Include
	}
	res, err := o.Decrypt(r.Context(), asked)
	var e *upstream.Error
	switch {
	case errors.As(err, &e) && e.Code == wire.DecryptFailed:
		return http.StatusUnprocessableEntity, map[string]string{"code": e.Code.String()}
	case err != nil:
		return http.StatusForbidden, map[string]string{"code": wire.KeyDenied.String()}
	}
	return http.StatusOK, res
}

func writeJSON(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(body)
}

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var client = &http.Client{Timeout: 60 * time.Second}

// answer is a whole response.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

// call sends a request. The body is a string or bytes as they stand, nil for
// none, or anything else as JSON. Headers are name, value, name, value ...
func (s *server) call(method, path string, body any, headers ...string) *answer {
	s.t.Helper()
	a, err := s.try(method, path, body, headers...)
	require.NoError(s.t, err, "%s %s", method, path)
	return a
}

// try is call for requests that may fail because the server dies.
func (s *server) try(method, path string, body any, headers ...string) (*answer, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewReader([]byte(b))
	case []byte:
		reader = bytes.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequest(method, s.base+path, reader)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &answer{s.t, method + " " + path, resp.StatusCode, resp.Header, data}, nil
}

func (s *server) get(path string, headers ...string) *answer {
	s.t.Helper()
	return s.call(http.MethodGet, path, nil, headers...)
}

func (s *server) post(path string, body any, headers ...string) *answer {
	s.t.Helper()
	return s.call(http.MethodPost, path, body, headers...)
}

func (s *server) delete(path string) *answer {
	s.t.Helper()
	return s.call(http.MethodDelete, path, nil)
}

// want checks the status, and the headers that every answer has.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s: %s", a.what, a.body)
	assert.NotEmpty(a.t, a.header.Get("X-Request-Id"), a.what)
	if len(a.body) > 0 {
		assert.Contains(a.t, a.header.Get("Content-Type"), "application/json", a.what)
	}
	return a
}

// as decodes the body into v, which must have a place for every field of it
// unless v is a map.
func (a *answer) as(v any) *answer {
	a.t.Helper()
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.UseNumber()
	require.NoError(a.t, dec.Decode(v), "%s: %s", a.what, a.body)
	return a
}

// object decodes the body as an object.
func (a *answer) object() map[string]any {
	a.t.Helper()
	m := map[string]any{}
	a.as(&m)
	return m
}

// errorBody is the one shape of all errors.
type errorBody struct {
	ErrorCode int            `json:"error_code"`
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Retriable bool           `json:"retriable"`
	Outcome   string         `json:"outcome"`
	RequestID string         `json:"request_id"`
	Details   map[string]any `json:"details"`
}

// wantError checks a failure's status, its code unless that is empty, and
// that the whole shape is there and agrees with itself.
func (a *answer) wantError(status int, code string) errorBody {
	a.t.Helper()
	e := a.want(status).anyError()
	if code != "" {
		assert.Equal(a.t, code, e.Code, "%s: %s", a.what, a.body)
	}
	return e
}

// anyError checks the error shape, whatever the error.
func (a *answer) anyError() errorBody {
	a.t.Helper()
	fields := a.object()
	for _, name := range []string{"error_code", "code", "message", "retriable", "outcome", "request_id"} {
		assert.Contains(a.t, fields, name, "%s: %s", a.what, a.body)
	}
	var e errorBody
	require.NoError(a.t, json.Unmarshal(a.body, &e), a.what)
	assert.Equal(a.t, a.status, e.ErrorCode/100, "%s: error_code begins with the status: %s", a.what, a.body)
	assert.NotEmpty(a.t, e.Code, a.what)
	assert.NotEmpty(a.t, e.Message, a.what)
	assert.Contains(a.t, []string{"none", "applied", "unknown"}, e.Outcome, a.what)
	assert.Equal(a.t, a.header.Get("X-Request-Id"), e.RequestID, a.what)
	switch a.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		assert.True(a.t, e.Retriable, "%s: %s", a.what, a.body)
		assert.NotEmpty(a.t, a.header.Get("Retry-After"), a.what)
	}
	return e
}

package http

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// Every change that is asked for has a line, with who, what, from where and what
// became of it; nothing secret is in it, and reads and records have none.
func TestAudit(t *testing.T) {
	var b bytes.Buffer
	h, _ := guarded(t, Options{Audit: slog.New(slog.NewJSONHandler(&b, nil))})
	h.b.add("a", 1)
	h.b.seek = func(*protocol.SeekRequest) {}
	admin := bearer(adminToken)
	token := h.create("team", `[{"do":["read","write"],"topics":"a","groups":"g"}]`)
	h.do("POST", "/topic", `{"name":"t","partitions":2}`, admin...)
	h.do("DELETE", "/topic/t?cluster=default", "", admin...)
	h.do("POST", "/tokens", `{"name":"more","allow":[{"do":["admin"]}]}`, bearer(token)...)
	h.do("POST", "/topic", `{"name":1,"secret":"hidden","x":[{"Token":"hidden","headers":{"a":"hidden"}}]}`, admin...)
	h.do("POST", "/groups/g/seek", `{"topic":"a","to":"earliest"}`, bearer(token)...)
	h.do("POST", "/topic", "no JSON", admin...)
	// No lines:
	h.do("POST", "/topic", `{"name":"u"}`)
	h.do("POST", "/events", `{"topic":"a","value":1}`, bearer(token)...)
	h.do("GET", "/topic", "", admin...)
	h.do("PUT", "/topic", "", admin...)

	type line struct {
		Time, Msg, Who, Remote, Method, Path, Query, Code, Outcome string
		Status                                                     int
		RequestID                                                  string `json:"request_id"`
		Request                                                    any
	}
	var got []line
	for s := bufio.NewScanner(strings.NewReader(b.String())); s.Scan(); {
		var l line
		require.NoError(t, json.Unmarshal(s.Bytes(), &l), s.Text())
		assert.NotEmpty(t, l.Time)
		assert.Contains(t, l.Remote, "127.0.0.1:")
		assert.NotEmpty(t, l.RequestID)
		l.Time, l.Msg, l.Remote, l.RequestID = "", "", "", ""
		got = append(got, l)
	}
	grants := func(do ...any) map[string]any { return map[string]any{"do": do} }
	all := grants("read", "write")
	all["topics"], all["groups"] = "a", "g"
	assert.Equal(t, []line{
		{Who: "admin", Method: "POST", Path: "/tokens", Status: 201, Outcome: "applied", Request: map[string]any{"name": "team", "allow": []any{all}}},
		{Who: "admin", Method: "POST", Path: "/topic", Status: 201, Outcome: "applied", Request: map[string]any{"name": "t", "partitions": 2.0}},
		{Who: "admin", Method: "DELETE", Path: "/topic/t", Query: "cluster=default", Status: 204, Outcome: "applied"},
		{Who: "team", Method: "POST", Path: "/tokens", Status: 403, Code: "forbidden", Outcome: "none"},
		{Who: "admin", Method: "POST", Path: "/topic", Status: 400, Code: "unknown_field", Outcome: "none", Request: map[string]any{
			"name": 1.0, "secret": "left out", "x": []any{map[string]any{"Token": "left out", "headers": "left out"}},
		}},
		{Who: "team", Method: "POST", Path: "/groups/g/seek", Status: 200, Outcome: "applied", Request: map[string]any{"topic": "a", "to": "earliest"}},
		{Who: "admin", Method: "POST", Path: "/topic", Status: 415, Code: "unsupported_media_type", Outcome: "none", Request: "left out: too long, or no JSON"},
	}, got)
	for _, secret := range []string{token, adminToken, "hidden"} {
		assert.NotContains(t, b.String(), secret)
	}
}

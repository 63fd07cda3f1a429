package http

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

// All unknown names are reported together, and before a wrong value of a known
// name.
func TestUnknownNames(t *testing.T) {
	h := start(t, Options{})
	for _, body := range []string{
		`{"nmae":"x","num_brokers":99,"retention":1}`,
		`{"num_brokers":0,"nmae":{"a":[1]},"name":5,"retention":null}`,
	} {
		e := wantError(t, h.do("POST", "/cluster", body), 400, "unknown_field")
		assert.Equal(t, `unknown field "nmae", "retention"`, e["message"])
		assert.Equal(t, map[string]any{"field": "nmae", "fields": []any{"nmae", "retention"}}, e["details"])
	}
	for _, query := range []string{"?max_record=1&timeout_ms=-1&frm=latest", "?topic=a%20b&max_record=1&frm=x&max_bytes=x&max_bytes=1"} {
		e := wantError(t, h.do("GET", "/events"+query, ""), 400, "unknown_parameter")
		assert.Equal(t, `unknown query parameter "max_record", "frm"`, e["message"])
		assert.Equal(t, map[string]any{"parameter": "max_record", "parameters": []any{"max_record", "frm"}}, e["details"])
	}
	wantError(t, h.do("POST", "/cluster", `{"nmae":"x"`), 400, "malformed")
	wantError(t, h.do("POST", "/cluster", `{"num_brokers":0,"name":5`), 400, "malformed")
	wantError(t, h.do("GET", "/events?topic=a&topic=b&max_bytes=1&max_bytes=2", ""), 400, "invalid_parameter")
}

// The greatest 64-bit integer is accepted; Kafka's users write it for "for ever".
func TestGreatestInteger(t *testing.T) {
	h := start(t, Options{})
	wantOK(t, h.do("POST", "/topic", `{"name":"t","retention_ms":9223372036854775807,"retention_bytes":9223372036854775807}`), 201)
	assert.Equal(t, []int64{math.MaxInt64, math.MaxInt64}, []int64{*h.b.specs["t"].RetentionMs, *h.b.specs["t"].RetentionBytes})
	wantError(t, h.do("POST", "/topic", `{"name":"u","retention_ms":9223372036854775808}`), 422, "not_allowed")
	wantError(t, h.do("POST", "/topic", `{"name":"u","partitions":9223372036854775807}`), 422, "not_allowed")
}

// The error for a body that is not an object names no field.
func TestBodyThatIsNoObject(t *testing.T) {
	h := start(t, Options{})
	e := wantError(t, h.do("POST", "/topic", `["t"]`), 400, "malformed")
	assert.Equal(t, "the body must be a JSON object", e["message"])
	assert.NotContains(t, e, "details")
}

func TestPatchNamesOneCluster(t *testing.T) {
	h := start(t, Options{})
	wantError(t, h.do("PATCH", "/topic/t?cluster=a", `{"cluster":"b","partitions":2}`), 400, "invalid_parameter")
	assert.Empty(t, h.b.specs)
	wantOK(t, h.do("PATCH", "/topic/t?cluster=a", `{"cluster":"a","partitions":2}`), 200)
	assert.Equal(t, "a", h.b.specs["t"].Cluster)
}

// Internal topics are refused before anything else is checked.
func TestInternalTopicsAreRefusedFirst(t *testing.T) {
	h := start(t, Options{})
	wantError(t, h.do("PATCH", "/topic/__consumer_offsets?bogus=1", `{"x":1}`), 422, "internal_topic")
	wantError(t, h.do("DELETE", "/topic/__consumer_offsets?bogus=1", ""), 422, "internal_topic")
}

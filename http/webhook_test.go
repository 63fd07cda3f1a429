package http

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWebhook(t *testing.T) {
	for name, c := range map[string]struct {
		query, body string
		headers     []string
		want        string
	}{
		"JSON": {
			"", ` {"a": 1} `,
			[]string{"Content-Type", "application/json; charset=utf-8"},
			`"key":null,"value":{"a":1},"headers":{"content-type":"application/json; charset=utf-8"}`,
		},
		"a kind of JSON": {
			"", `[1]`,
			[]string{"Content-Type", "application/cloudevents+json"},
			`"key":null,"value":[1],"headers":{"content-type":"application/cloudevents+json"}`,
		},
		"JSON of another charset": {
			"", "\"\xe9\"",
			[]string{"Content-Type", "application/json; charset=latin1"},
			`"key":null,"value_base64":"Iuki","headers":{"content-type":"application/json; charset=latin1"}`,
		},
		"a form": {
			"", `payload=%7B%7D`,
			[]string{"Content-Type", "application/x-www-form-urlencoded"},
			`"key":null,"value_text":"payload=%7B%7D","headers":{"content-type":"application/x-www-form-urlencoded"}`,
		},
		"no content type": {"", `{"a": 1}`, nil, `"key":null,"value_text":"{\"a\": 1}","headers":{}`},
		"a byte order mark stays": {
			"", "\ufeff<a/>",
			[]string{"Content-Type", "application/xml"},
			`"key":null,"value_text":"` + "\ufeff" + `<a/>","headers":{"content-type":"application/xml"}`,
		},
		"nothing": {"", "", []string{"Content-Type", "text/plain"}, `"key":null,"value_text":"","headers":{"content-type":"text/plain"}`},
		"a key and kept headers": {
			"?key_header=X-GitHub-Hook-ID&keep=x-github-event,%20X-Absent,X-Two&keep=content-type", "1",
			[]string{"Content-Type", "application/json", "X-Github-Event", "push", "x-github-hook-id", `4"2`, "X-Two", "a", "X-Other", "x"},
			`"key":"4\"2","value":1,"headers":{"content-type":"application/json","x-github-event":"push","x-two":"a"}`,
		},
		"a header that is no UTF-8": {
			"?keep=x-a", "1",
			[]string{"Content-Type", "application/json", "X-A", "\xe9"},
			`"key":null,"value":1,"headers":{"content-type":"application/json","x-a":"é"}`,
		},
		"the key is missing": {
			"?key_header=x-key", "1",
			[]string{"Content-Type", "application/json"},
			`"key":null,"value":1,"headers":{"content-type":"application/json"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, Options{})
			wantOK(t, h.do("POST", "/topic/t/events"+c.query, c.body, c.headers...), 200)
			got := h.stored("t")
			assert.Equal(t, c.want, got[strings.Index(got, `"key`):len(got)-1])
		})
	}
}

func TestWebhookRefusals(t *testing.T) {
	json := []string{"Content-Type", "application/json"}
	for name, c := range map[string]struct {
		target, body string
		headers      []string
		status       int
		code         string
	}{
		"no JSON":             {"/topic/t/events", `{"a"`, json, 400, "malformed"},
		"two values":          {"/topic/t/events", `1 2`, json, 400, "malformed"},
		"empty JSON":          {"/topic/t/events", ``, json, 400, "malformed"},
		"internal":            {"/topic/__consumer_offsets/events", `1`, json, 422, "internal_topic"},
		"name":                {"/topic/a%20b/events", `1`, json, 422, "invalid_name"},
		"no header name":      {"/topic/t/events?keep=a,b%20c", `1`, json, 400, "invalid_parameter"},
		"no ASCII":            {"/topic/t/events?key_header=%E2%84%AA", `1`, json, 400, "invalid_parameter"},
		"empty name":          {"/topic/t/events?key_header=", `1`, json, 400, "invalid_parameter"},
		"parameter":           {"/topic/t/events?key=a", `1`, json, 400, "unknown_parameter"},
		"no id":               {"/topic/t/events?id_header=x-id", `1`, json, 422, "not_allowed"},
		"id with a space":     {"/topic/t/events?id_header=x-id", `1`, append([]string{"X-Id", "a b"}, json...), 400, "invalid_parameter"},
		"too many headers":    {"/topic/t/events?keep=a,b", `1`, append([]string{"A", "1", "B", "2"}, json...), 422, "record_limit"},
		"a long header name":  {"/topic/t/events?keep=" + strings.Repeat("n", 21), `1`, append([]string{strings.Repeat("n", 21), "1"}, json...), 422, "record_limit"},
		"too large":           {"/topic/t/events", strings.Repeat("x", 201), nil, 413, "record_too_large"},
		"too large in all":    {"/topic/t/events?keep=a", strings.Repeat("x", 190), []string{"A", "123456789"}, 413, "record_too_large"},
		"too many levels":     {"/topic/t/events", "[[[[[1]]]]]", json, 422, "record_limit"},
		"half surrogate pair": {"/topic/t/events", `"\ud800"`, json, 400, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, Options{MaxRecordBytes: 200, MaxRecordHeaders: 2, MaxHeaderName: 20, MaxJSONDepth: 4})
			wantError(t, h.do("POST", c.target, c.body, c.headers...), c.status, c.code)
			require.Empty(t, h.b.reqs)
		})
	}
}

// The id that a sender repeats identifies the request, wherever the first try went.
func TestWebhookRetries(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 16)
	send := func(id, body string) {
		t.Helper()
		wantOK(t, h.do("POST", "/topic/t/events?id_header=X-Delivery&keep=x-sent", body, "Content-Type", "application/json",
			"X-Delivery", id, "X-Sent", body+id), 200)
	}
	send("one", "1")
	send("one", "1")
	send("two", "1")
	require.Len(t, h.b.reqs, 3)
	first, again, other := h.b.reqs[0], h.b.reqs[1], h.b.reqs[2]
	assert.Equal(t, first.ProducerID, again.ProducerID)
	assert.Equal(t, first.BodyHash, again.BodyHash)
	assert.Equal(t, first.Partition, again.Partition)
	assert.NotEqual(t, first.ProducerID, other.ProducerID)
	send("one", "2")
	assert.NotEqual(t, first.BodyHash, h.b.reqs[3].BodyHash)
}

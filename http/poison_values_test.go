package http

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// headersOf is the JSON of n headers.
func headersOf(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`"h%d":""`, i))
	}
	return "{" + strings.Join(fields, ",") + "}"
}

// A record that JSON readers of other languages refuse stops every consumer that
// gets it, together with the records around it. It is refused in all forms, with
// the limit and its setting; what is at the limit is taken.
func TestRecordsThatOthersCannotReadAreRefused(t *testing.T) {
	o := Options{MaxJSONDepth: 5, MaxNumberDigits: 20, MaxRecordHeaders: 3, MaxHeaderName: 8}
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	digits := func(n int) string { return strings.Repeat("9", n) }
	for name, c := range map[string]struct{ good, bad, setting string }{
		"arrays":         {`"value":` + nested(5), `"value":` + nested(6), "json_depth"},
		"objects":        {`"value":{"a":{"a":{"a":{"a":{}}}}}`, `"value":{"a":{"a":{"a":{"a":{"a":{}}}}}}`, "json_depth"},
		"deep, then not": {`"value":[[[[[1]]]],2]`, `"value":[[[[[[1]]]]],2]`, "json_depth"},
		"beyond all":     {`"value":[]`, `"value":` + nested(protocol.MaxJSONDepth+1), "json_depth"},
		"in a key":       {`"key":` + nested(5), `"key":` + nested(6), "json_depth"},
		"integer":        {`"value":-` + digits(20), `"value":-` + digits(21), "number_digits"},
		"fraction":       {`"value":1.` + digits(19), `"value":1.` + digits(20), "number_digits"},
		"exponent":       {`"value":1e+0` + digits(18), `"value":1e+0` + digits(19), "number_digits"},
		"within":         {`"value":{"a":[1,` + digits(20) + `,2]}`, `"value":{"a":[1,` + digits(21) + `,2]}`, "number_digits"},
		"key's number":   {`"key":` + digits(20), `"key":` + digits(21), "number_digits"},
		"text of digits": {`"value":"` + digits(21) + `"`, `"value":["1",` + digits(21) + `]`, "number_digits"},
		"headers":        {`"headers":` + headersOf(3), `"headers":` + headersOf(4), "headers"},
		"header's name":  {`"headers":{"éééé":""}`, `"headers":{"ééééa":""}`, "header_name"},
		"escaped name":   {`"headers":{"\u00e9\u00e9\u00e9\u00e9":""}`, `"headers":{"\u00e9\u00e9\u00e9\u00e9a":""}`, "header_name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, o)
			h.b.add("t", 1)
			limit := map[string]int{"json_depth": 5, "number_digits": 20, "headers": 3, "header_name": 8}[c.setting]
			for form, send := range map[string]func(fields string) answer{
				"one":   func(f string) answer { return h.do("POST", "/events", `{"topic":"t",`+f+`}`) },
				"batch": func(f string) answer { return h.do("POST", "/events", `{"topic":"t","records":[{},{`+f+`}]}`) },
				"lines": func(f string) answer {
					return h.do("POST", "/events?topic=t", "{}\n{"+f+"}\n", "Content-Type", "application/x-ndjson")
				},
			} {
				wantOK(t, send(c.good), 200)
				before := len(h.b.reqs)
				e := wantError(t, send(c.bad), 422, "record_limit")
				want := map[string]any{"limit": float64(limit), "setting": "limits." + c.setting}
				switch form {
				case "batch":
					want["record"] = 1.0
				case "lines":
					want["line"] = 2.0
				}
				assert.Equal(t, want, e["details"], form)
				assert.Contains(t, e["message"], "limits."+c.setting)
				assert.Len(t, h.b.reqs, before, "nothing was written")
			}
		})
	}
}

func TestDefaultLimitsOfRecords(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for fields, status := range map[string]int{
		`"value":` + strings.Repeat("[", 128) + strings.Repeat("]", 128): 200,
		`"value":` + strings.Repeat("[", 129) + strings.Repeat("]", 129): 422,
		`"value":` + strings.Repeat("1", 1000):                           200,
		`"value":` + strings.Repeat("1", 1001):                           422,
		`"headers":` + headersOf(100):                                    200,
		`"headers":` + headersOf(101):                                    422,
		`"headers":{"` + strings.Repeat("h", 256) + `":""}`:              200,
		`"headers":{"` + strings.Repeat("h", 257) + `":""}`:              422,
	} {
		assert.Equal(t, status, h.do("POST", "/events", `{"topic":"t",`+fields+`}`).status, "%.40s", fields)
	}
}

// Half of a surrogate pair is valid in JSON, but no text: it is refused wherever it
// stands.
func TestHalfSurrogatesAreRefused(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for _, half := range []string{`\ud800`, `\uDBFF`, `\udc00`, `\udfffx`, `\ud800\ud800`, `\ud800A\udc00`, `\ude00\ud83d`, `\\\ud800`} {
		for _, fields := range []string{
			`"key":"%s"`, `"value":"%s"`, `"value":[{"a":"%s"}]`, `"value":{"%s":1}`, `"key_text":"%s"`, `"value_text":"%s"`,
			`"headers":{"a":"%s"}`, `"headers":{"%s":""}`,
		} {
			wantError(t, h.do("POST", "/events", `{"topic":"t",`+fmt.Sprintf(fields, half)+`}`), 400, "malformed")
		}
	}
	assert.Empty(t, h.b.reqs)
	for _, whole := range []string{`\ud83d\ude00`, `\\ud800`, `\ufffd`, `\ud7ff\ue000`} {
		wantOK(t, h.do("POST", "/events", `{"topic":"t","value":"`+whole+`","headers":{"`+whole+`":"`+whole+`"}}`), 200)
	}
}

// Some readers of lines take U+0085, U+2028 and U+2029 for the end of one. In
// streams they are escaped: the JSON is the same value.
func TestLineEndsOfUnicodeAreEscapedInStreams(t *testing.T) {
	text := "a\u0085b\u2028c\u2029d\u2030e\u00a0\u2028"
	for accept, prefix := range map[string]string{"text/event-stream": "data: ", "application/x-ndjson": ""} {
		t.Run(accept, func(t *testing.T) {
			h := start(t, Options{})
			h.b.add("t", 1)
			body := fmt.Sprintf(`{"topic":"t","key":%q,"value":{%q:[%q]},"headers":{%q:%q}}`, text, text, text, text, text)
			body = strings.NewReplacer(`\u0085`, "\u0085", `\u2028`, "\u2028", `\u2029`, "\u2029", `\u00a0`, "\u00a0").Replace(body)
			require.NotContains(t, body, `\u`)
			wantOK(t, h.do("POST", "/events", body), 200)
			wantOK(t, h.do("POST", "/events?topic=t", text, "Content-Type", "text/plain"), 200)
			_, line := h.follow("/events?topic=t", accept)
			next := func() map[string]any {
				for {
					if data, ok := strings.CutPrefix(line(), prefix); ok && strings.HasPrefix(data, "{") {
						for _, end := range []string{"\u0085", "\u2028", "\u2029"} {
							require.NotContains(t, data, end)
						}
						require.Contains(t, data, "\u2030")
						var v map[string]any
						require.NoError(t, json.Unmarshal([]byte(data), &v))
						return v
					}
				}
			}
			v := next()
			assert.Equal(t, []any{text, map[string]any{text: []any{text}}, map[string]any{text: text}}, []any{v["key"], v["value"], v["headers"]})
			assert.Equal(t, text, next()["value_text"])
		})
	}
}

// What a value's number means is its readers' business: it is any JSON, and comes back
// digit for digit, also where no double is as large. Where the server itself reads a
// number, one that does not fit is refused.
func TestNumbersThatFitNoType(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for _, value := range []string{"1e400", "-1E-400", "1e999999999", "1.00", "123456789012345678901234567890", `{"a":1,"a":1e400}`} {
		wantOK(t, h.do("POST", "/events", `{"topic":"t","value":`+value+`}`), 200)
		got := h.do("GET", fmt.Sprintf("/topic/t/partitions/0/records?offset=%d", len(h.b.topics["t"].partitions[0])-1), "")
		assert.Contains(t, got.body, `"value":`+value+`,`)
	}
	for _, n := range []string{"1e400", "-1e400", "1e999999999", "9223372036854775808", "1.5", "1e-1"} {
		for _, request := range []string{
			`POST /events {"topic":"t","value":1,"partition":N}`, `POST /events {"topic":"t","value":1,"timestamp":N}`,
			`POST /events {"topic":"t","value":1,"deliver_at":N}`, `POST /events {"topic":"t","value":1,"delay_ms":N}`,
			`POST /events {"topic":"t","records":[{"value":1,"partition":N}]}`,
			`POST /offset {"consumer_id":N}`, `POST /offset {"consumer_id":1,"topic":"t","offsets":[{"partition":0,"offset":N}]}`,
			`POST /topic {"name":"n","partitions":N}`, `POST /topic {"name":"n","segment_bytes":N}`,
			`POST /groups/g/seek {"topic":"t","to":N}`, `POST /groups/g/seek {"topic":"t","to":{"timestamp":N}}`,
			`GET /events {"topic":"t","max_records":N}`, `GET /events {"topic":"t","timeout_ms":N}`, `GET /events {"topic":"t","from":N}`,
		} {
			method, rest, _ := strings.Cut(request, " ")
			path, body, _ := strings.Cut(rest, " ")
			a := h.do(method, path, strings.ReplaceAll(body, "N", n))
			assert.Contains(t, []int{400, 422}, a.status, "%s: %s %s", request, n, a.body)
		}
	}
	assert.NotContains(t, h.b.topics, "n")
}

package http

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// theContract is the document, loaded once for all tests.
var theContract = sync.OnceValues(func() (*openapi3.T, error) {
	var doc any
	if err := json.Unmarshal(contractFor(Options{}.withDefaults()), &doc); err != nil {
		return nil, err
	}
	allowNull(doc)
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromData(text)
})

// allowNull gives properties without a type all types. They mean the same in JSON
// Schema, but the validator does not take null for a value of the former.
func allowNull(v any) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			allowNull(x)
		}
	case map[string]any:
		properties, _ := v["properties"].(map[string]any)
		for _, p := range properties {
			if p, ok := p.(map[string]any); ok && len(p) == 1 && p["description"] != nil {
				p["type"] = []any{"object", "array", "string", "number", "boolean", "null"}
			}
		}
		for _, x := range v {
			allowNull(x)
		}
	}
}

// What generators of clients cannot use, or make something useless of, is not in the
// document: lists of types, const, enums without a type, and text as another form of
// an answer that is JSON.
func TestContractIsFitForGenerators(t *testing.T) {
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for i, x := range v {
				walk(fmt.Sprintf("%s[%d]", at, i), x)
			}
		case map[string]any:
			if list, ok := v["type"].([]any); ok {
				assert.Len(t, list, 2, "%s: %v", at, list)
				assert.Contains(t, list, "null", at)
			}
			assert.NotContains(t, v, "const", at)
			if _, ok := v["enum"]; ok && !strings.HasSuffix(at, ".not") {
				assert.Equal(t, "string", v["type"], at)
			}
			if content, ok := v["content"].(map[string]any); ok && strings.Contains(at, ".responses.") {
				assert.Len(t, content, 1, at)
			}
			for name, x := range v {
				if name != "example" && name != "examples" {
					walk(at+"."+name, x)
				}
			}
		}
	}
	var doc any
	require.NoError(t, json.Unmarshal(contractFor(Options{}.withDefaults()), &doc))
	walk("", doc)
}

func TestContractIsValid(t *testing.T) {
	doc, err := theContract()
	require.NoError(t, err)
	assert.Equal(t, "3.1.0", doc.OpenAPI)
	require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation()))
}

func TestContractHasEveryRouteAndNoOther(t *testing.T) {
	doc, err := theContract()
	require.NoError(t, err)
	var routes, documented []string
	for _, rt := range table {
		routes = append(routes, rt.method+" "+rt.path)
		if rt.body == noBody {
			if item := doc.Paths.Value(rt.path); item != nil && item.GetOperation(rt.method) != nil {
				assert.Nil(t, item.GetOperation(rt.method).RequestBody, "%s takes no body", rt.path)
			}
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	assert.ElementsMatch(t, routes, documented)
}

// checkContract checks an answer against the contract, and the request too if it
// was accepted. All tests of this package use it.
func checkContract(t *testing.T, method, target, body string, headers []string, a answer) {
	t.Helper()
	doc, err := theContract()
	require.NoError(t, err)
	u, err := url.Parse(target)
	if err != nil {
		return
	}
	if method == "HEAD" || a.status == 405 {
		return // there is no body to check, or no such operation
	}
	op := operationFor(doc, method, u.EscapedPath())
	if op == nil {
		assert.Contains(t, []int{204, 400, 404, 405, 413, 415, 429, 503}, a.status, "%s %s is not in the contract", method, target)
		return
	}
	where := method + " " + target + ": " + a.body
	if len(where) > 500 {
		where = where[:500]
	}
	resp := op.Responses.Status(a.status)
	if !assert.NotNil(t, resp, "status %d is not in the contract: %s", a.status, where) {
		return
	}
	checkBody(t, resp.Value.Content, a, where)
	if a.status < 300 {
		checkRequest(t, op, u, body, headers, where)
	}
}

// checkBody checks an answer's body against the media types of its status.
func checkBody(t *testing.T, content openapi3.Content, a answer, where string) {
	t.Helper()
	if len(content) == 0 {
		assert.Empty(t, a.body, where)
		return
	}
	media, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	require.NoError(t, err, where)
	m := content[media]
	if !assert.NotNil(t, m, "media type %s is not in the contract: %s", media, where) {
		return
	}
	if media != "application/json" || a.header.Get("Content-Encoding") != "" {
		return
	}
	assert.NoError(t, visit(m.Schema, a.body), where)
}

// checkRequest checks an accepted request against the contract: what the server
// accepts must be documented.
func checkRequest(t *testing.T, op *openapi3.Operation, u *url.URL, body string, headers []string, where string) {
	t.Helper()
	for name := range u.Query() {
		assert.NotNil(t, op.Parameters.GetByInAndName("query", name), "parameter %s is not in the contract: %s", name, where)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if name := headers[i]; strings.HasPrefix(name, "Producer-") || name == "Idempotency-Key" || name == "Last-Event-ID" {
			assert.NotNil(t, op.Parameters.GetByInAndName("header", name), "header %s is not in the contract: %s", name, where)
		}
		if headers[i] == "Content-Type" && !strings.HasPrefix(headers[i+1], "application/json") || headers[i] == "Content-Encoding" {
			return
		}
	}
	if op.RequestBody == nil || body == "" || !json.Valid([]byte(body)) {
		return
	}
	if form := op.RequestBody.Value.Content["application/json"]; form != nil { // else any body is taken as it is
		assert.NoError(t, visit(form.Schema, body), "request of %s", where)
	}
}

func visit(schema *openapi3.SchemaRef, text string) error {
	var v any
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err
	}
	return schema.Value.VisitJSON(floats(v), openapi3.EnableJSONSchema2020())
}

// floats converts numbers to what the validator understands, also large ones.
func floats(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return math.MaxFloat64
		}
		return f
	case map[string]any:
		for k, x := range v {
			v[k] = floats(x)
		}
	case []any:
		for i, x := range v {
			v[i] = floats(x)
		}
	}
	return v
}

func TestContractTellsDifferencesApart(t *testing.T) {
	doc, err := theContract()
	require.NoError(t, err)
	good := `{"topic":"t","partition":0,"offset":1,"timestamp":1,"key":null,"value_text":"x","headers":{}}`
	record := doc.Components.Schemas["Record"]
	require.NoError(t, visit(record, good))
	for _, bad := range []string{
		`{}`,
		strings.Replace(good, `"offset":1`, `"offset":"1"`, 1),
		strings.Replace(good, `"key":null,`, ``, 1),
		strings.Replace(good, `"key":null,`, `"key":1,"key_text":"x",`, 1),
		strings.Replace(good, `"headers":{}`, `"headers":null`, 1),
		strings.Replace(good, `"topic"`, `"more":1,"topic"`, 1),
	} {
		assert.Error(t, visit(record, bad), bad)
	}
	for _, path := range []string{"/topic", "/topic/a", "/topic/a/partitions/0/records"} {
		assert.NotNil(t, operationFor(doc, "GET", path), path)
	}
	for _, path := range []string{"/topic/", "/topic/a/b", "/nope"} {
		assert.Nil(t, operationFor(doc, "GET", path), path)
	}
}

// operationFor finds the operation of a path by the document's templates.
func operationFor(doc *openapi3.T, method, path string) *openapi3.Operation {
	if item := doc.Paths.Value(path); item != nil { // before those with parameters
		return item.GetOperation(method)
	}
	parts := strings.Split(path, "/")
	for template, item := range doc.Paths.Map() {
		names := strings.Split(template, "/")
		if len(names) != len(parts) {
			continue
		}
		same := true
		for i, name := range names {
			same = same && (name == parts[i] || strings.HasPrefix(name, "{") && parts[i] != "")
		}
		if same {
			return item.GetOperation(method)
		}
	}
	return nil
}

func TestContractAsServed(t *testing.T) {
	h := start(t, Options{})
	a := h.do("GET", "/openapi.json", "")
	assert.Equal(t, 200, a.status)
	assert.Equal(t, "application/json", a.header.Get("Content-Type"))
	assert.JSONEq(t, string(contractFor(Options{}.withDefaults())), a.body)
	assert.NotContains(t, a.body, "${", "a limit that nobody fills in")
	assert.Equal(t, a.body, h.do("GET", "/openapi.json", "").body, "the second answer is the first")
}

// The contract of a server has its configured limits, and the server keeps them:
// a value at the limit is accepted, and one more is refused.
func TestContractHasTheLimitsOfItsServer(t *testing.T) {
	o := Options{
		MaxBodyBytes: 4321, MaxRecordBytes: 1234, MaxHeaderBytes: 8 << 10, MaxBatchRecords: 7, MaxRecords: 11, MaxBytes: 5000,
		MaxInflightBytes: 98_765, MaxParkedPolls: 321, MaxTimeout: 777 * time.Millisecond, MaxSessionTimeout: 2 * time.Second,
		RequestTimeout: 1500 * time.Millisecond, DefaultPollTimeout: 5 * time.Millisecond, DefaultSessionTimeout: time.Second,
		DefaultMaxRecords: 3, DefaultMaxBytes: 999,
	}
	h := start(t, o)
	text := h.do("GET", "/openapi.json", "").body
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation()))

	poll := doc.Paths.Value("/events").Get
	body := doc.Components.Schemas["PollRequest"].Value.Properties
	for name, want := range map[string][2]float64{
		"max_records": {11, 3}, "max_bytes": {5000, 999}, "timeout_ms": {777, 5}, "session_timeout_ms": {2000, 1000},
	} {
		p := poll.Parameters.GetByInAndName("query", name).Schema.Value
		assert.Equal(t, want, [2]float64{*p.Max, p.Default.(float64)}, name)
		assert.Equal(t, want, [2]float64{*body[name].Value.Max, body[name].Value.Default.(float64)}, "%s in a body", name)
		target := fmt.Sprintf("/events?topic=liked&%s=", name)
		assert.Equal(t, 200, h.do("GET", target+fmt.Sprint(want[0]), "").status, name)
		assert.Equal(t, 400, h.do("GET", target+fmt.Sprint(want[0]+1), "").status, name)
	}
	batch := doc.Components.Schemas["Batch"].Value.Properties["records"].Value
	assert.Equal(t, uint64(7), *batch.MaxItems)
	for n, status := range map[int]int{7: 200, 8: 413} {
		records := strings.TrimSuffix(strings.Repeat(`{"value":1},`, n), ",")
		assert.Equal(t, status, h.do("POST", "/events", `{"topic":"liked","records":[`+records+`]}`).status, "%d records", n)
	}
	for _, name := range []string{"TopicSpec", "TopicPatch"} {
		assert.Equal(t, 1234.0, *doc.Components.Schemas[name].Value.Properties["max_record_bytes"].Value.Max, name)
	}
	for _, said := range []string{"8,192 bytes", "4,321 bytes", "exceeds 1,234 ", "98,765 bytes", "321 waiting", "1,500 ms"} {
		assert.Contains(t, text, said)
		assert.Contains(t, h.do("GET", "/docs", "").body, said)
	}
}

func TestDocsPage(t *testing.T) {
	h := start(t, Options{})
	a := h.do("GET", "/docs", "")
	require.Equal(t, 200, a.status, a.body)
	assert.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	doc, err := theContract()
	require.NoError(t, err)
	for path, item := range doc.Paths.Map() {
		assert.Contains(t, a.body, "<code>"+path+"</code>")
		for _, op := range item.Operations() {
			assert.Contains(t, a.body, `id="`+op.OperationID+`"`)
		}
	}
	for name := range doc.Components.Schemas {
		assert.Contains(t, a.body, `id="schema-`+name+`"`)
	}
	for _, foreign := range []string{"http://", "https://", "src=", "@import", "<script"} {
		assert.NotContains(t, a.body, foreign, "nothing from anywhere else")
	}
	assert.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
}

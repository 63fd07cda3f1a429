package http

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// sourceSecret is the secret of the sources of the tests.
const sourceSecret = "a-secret-of-the-tests"

// hubSource are the settings of a source that GitHub sends to.
const hubSource = `{"topic":"pushes","key_json":"/repo/name","id_header":"X-GitHub-Delivery","keep":["X-GitHub-Event"],` +
	`"verify":{"scheme":"github","secret":"` + sourceSecret + `"}}`

// signedBy are the headers of a webhook of GitHub.
func signedBy(secret, body string, more ...string) []string {
	return append([]string{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(hmacOf(secret, body))}, more...)
}

func TestSources(t *testing.T) {
	h := start(t, Options{})
	const plain = `{"topic":"t","verify":{"scheme":"hmac-sha256","header":"X-Sig","secret":"` + sourceSecret + `"}}`
	created := h.do("PUT", "/sources/hub", hubSource)
	wantOK(t, created, 201)
	assert.Equal(t, `{"name":"hub","topic":"pushes","cluster":"default","key_json":"/repo/name","id_header":"x-github-delivery","keep":["x-github-event"],`+
		`"verify":{"scheme":"github"},"created_at":"2026-11-22T17:16:03.123Z"}`, strings.TrimSpace(created.body))
	assert.Equal(t, created.body, h.do("PUT", "/sources/hub", hubSource).body)
	wantOK(t, h.do("PUT", "/sources/a", plain), 201)
	wantOK(t, h.do("PUT", "/sources/a", plain), 200)
	got := h.do("GET", "/sources", "")
	wantOK(t, got, 200)
	assert.Contains(t, got.body, `"verify":{"scheme":"hmac-sha256","header":"x-sig"}`)
	assert.Less(t, strings.Index(got.body, `"a"`), strings.Index(got.body, `"hub"`))
	assert.NotContains(t, got.body, sourceSecret)
	assert.Equal(t, created.body, h.do("GET", "/sources/hub", "").body)
	assert.Equal(t, 204, h.do("DELETE", "/sources/hub", "").status)
	wantError(t, h.do("DELETE", "/sources/hub", ""), 404, "source_not_found")
	wantError(t, h.do("GET", "/sources/hub", ""), 404, "source_not_found")
	wantError(t, h.do("POST", "/sources/hub", "{}", signedBy(sourceSecret, "{}")...), 404, "source_not_found")
	assert.Empty(t, h.b.reqs)
}

func TestSourcesThatAreRefused(t *testing.T) {
	h := start(t, Options{})
	const verify = `"verify":{"scheme":"github","secret":"` + sourceSecret + `"}`
	many := `"` + strings.Repeat("a", 120)
	for i := range 32 {
		many += fmt.Sprintf(`","h%d`, i)
	}
	for body, want := range map[string]string{
		``:                          "400 malformed",
		`{` + verify + `}`:          "400 missing_field",
		`{"topic":"t"}`:             "400 missing_field",
		`{"topic":"t","verify":1}`:  "400 malformed",
		`{"topic":"t","verify":{}}`: "400 missing_field",
		`{"topic":"t","verify":{"scheme":"github"}}`:                                                   "400 missing_field",
		`{"topic":"t","verify":{"scheme":"github","secret":1}}`:                                        "400 malformed",
		`{"topic":"t","verify":{"scheme":"hmac-sha256","secret":"x"}}`:                                 "400 missing_field",
		`{"topic":"t","verify":{"scheme":"github","secret":"x","more":1}}`:                             "400 unknown_field",
		`{"topic":"t",` + verify + `,"keep":"a"}`:                                                      "400 malformed",
		`{"topic":"t",` + verify + `,"keep":[1]}`:                                                      "400 malformed",
		`{"topic":"t",` + verify + `,"keep":["a b"]}`:                                                  "400 invalid_parameter",
		`{"topic":"t",` + verify + `,"key_header":""}`:                                                 "400 invalid_parameter",
		`{"topic":"t",` + verify + `,"secret":"x"}`:                                                    "400 unknown_field",
		`{"topic":"t",` + verify + `,"id_header":"` + strings.Repeat("a", 129) + `"}`:                  "422 not_allowed",
		`{"topic":"t",` + verify + `,"keep":[` + many + `"]}`:                                          "422 not_allowed",
		`{"topic":"t",` + verify + `,"key_json":"a.b"}`:                                                "422 not_allowed",
		`{"topic":"t",` + verify + `,"key_json":""}`:                                                   "422 not_allowed",
		`{"topic":"t",` + verify + `,"key_json":"/~2"}`:                                                "422 not_allowed",
		`{"topic":"t",` + verify + `,"key_json":"/` + strings.Repeat("a", 256) + `"}`:                  "422 not_allowed",
		`{"topic":"t",` + verify + `,"key_json":"/a","key_header":"b"}`:                                "422 not_allowed",
		`{"topic":"t","verify":{"scheme":"none","secret":"x"}}`:                                        "422 not_allowed",
		`{"topic":"t","verify":{"scheme":"github","secret":""}}`:                                       "422 not_allowed",
		`{"topic":"t","verify":{"scheme":"stripe","secret":"` + strings.Repeat("x", 513) + `"}}`:       "422 not_allowed",
		`{"topic":"t","verify":{"scheme":"standard-webhooks","secret":"whsec_!` + sourceSecret + `"}}`: "422 not_allowed",
		`{"topic":"t","verify":{"scheme":"standard-webhooks","secret":"whsec_"}}`:                      "422 not_allowed",
		`{"topic":"t","verify":{"scheme":"standard-webhooks","secret":"AAAA","header":"x"}}`:           "422 not_allowed",
		`{"topic":"__x",` + verify + `}`:                                                               "422 internal_topic",
		`{"topic":"a b",` + verify + `}`:                                                               "422 invalid_name",
	} {
		a := h.do("PUT", "/sources/s", body)
		status, code, _ := strings.Cut(want, " ")
		wantError(t, a, int(status[0]-'0')*100+int(status[1]-'0')*10+int(status[2]-'0'), code)
		assert.NotContains(t, a.body, sourceSecret, body)
	}
	wantError(t, h.do("PUT", "/sources/a%20b", hubSource), 422, "invalid_name")
	wantError(t, h.do("PUT", "/sources/a?x=1", hubSource), 400, "unknown_parameter")
	assert.Empty(t, h.b.sources)
}

// What is signed is written as its source says; a retry has no second effect.
func TestSignedWebhooks(t *testing.T) {
	for name, c := range map[string]struct{ kind, body, want string }{
		"JSON": {
			"application/json", ` {"repo": {"name": "a/b"}, "n": 1} `,
			`"key":"a/b","value":{"repo":{"name":"a/b"},"n":1},"headers":{"content-type":"application/json","x-github-event":"push"}}`,
		},
		"JSON of another type": {"text/plain", `{"repo":{"name":7}}`, `"key":7,"value_text":"{\"repo\":{\"name\":7}}","headers":{"content-type":"text/plain","x-github-event":"push"}}`},
		"no key":               {"application/json", `{"repo":[]}`, `"key":null,"value":{"repo":[]},"headers":{"content-type":"application/json","x-github-event":"push"}}`},
		"null as a key":        {"application/json", `{"repo":{"name":null}}`, `"key":null,"value":{"repo":{"name":null}},"headers":{"content-type":"application/json","x-github-event":"push"}}`},
		"no JSON":              {"text/plain", "repo", `"key":null,"value_text":"repo","headers":{"content-type":"text/plain","x-github-event":"push"}}`},
		"a byte order mark":    {"application/json", "\ufeff1", `"key":null,"value":1,"headers":{"content-type":"application/json","x-github-event":"push"}}`},
	} {
		h := start(t, Options{})
		h.b.add("pushes", 1)
		wantOK(t, h.do("PUT", "/sources/hub", hubSource), 201)
		headers := signedBy(sourceSecret, c.body, "Content-Type", c.kind, "X-GitHub-Event", "push", "X-GitHub-Delivery", "1", "X-Other", "x")
		v := wantOK(t, h.do("POST", "/sources/hub", c.body, headers...), 200)
		assert.Equal(t, "pushes", v["topic"], name)
		got := h.stored("pushes")
		assert.Equal(t, c.want, got[strings.Index(got, `"key`):], name)
		wantOK(t, h.do("POST", "/sources/hub", c.body, headers...), 200)
		require.Len(t, h.b.reqs, 2)
		assert.Equal(t, "key:1", h.b.reqs[0].ProducerID)
		assert.Equal(t, h.b.reqs[0].ProducerID, h.b.reqs[1].ProducerID)
		assert.Equal(t, h.b.reqs[0].BodyHash, h.b.reqs[1].BodyHash)
	}
}

func TestUnsignedWebhooksWriteNothing(t *testing.T) {
	h := start(t, Options{})
	wantOK(t, h.do("PUT", "/sources/hub", hubSource), 201)
	id := []string{"X-GitHub-Delivery", "1", "Content-Type", "application/json"}
	for name, headers := range map[string][]string{
		"none":           id,
		"another secret": signedBy("another", "{}", id...),
		"another body":   signedBy(sourceSecret, "{} ", id...),
	} {
		e := wantError(t, h.do("POST", "/sources/hub", "{}", headers...), 401, "invalid_signature")
		assert.Equal(t, "none", e["outcome"], name)
	}
	// The signature comes before whatever else is wrong.
	wantError(t, h.do("POST", "/sources/hub", "{", id...), 401, "invalid_signature")
	wantError(t, h.do("POST", "/sources/hub", "{", signedBy(sourceSecret, "{", id...)...), 400, "malformed")
	wantError(t, h.do("POST", "/sources/hub", "{}", signedBy(sourceSecret, "{}")...), 422, "not_allowed")
	wantError(t, h.do("POST", "/sources/hub?acks=none", "{}", signedBy(sourceSecret, "{}", id...)...), 400, "unknown_parameter")
	assertUntouched(t, h)
	// Another secret is in force at once.
	wantOK(t, h.do("PUT", "/sources/hub", strings.Replace(hubSource, sourceSecret, "new", 1)), 200)
	wantError(t, h.do("POST", "/sources/hub", "{}", signedBy(sourceSecret, "{}", id...)...), 401, "invalid_signature")
	wantOK(t, h.do("POST", "/sources/hub", "{}", signedBy("new", "{}", id...)...), 200)
}

// Where tokens are asked for the signature is enough to write to the topic of the
// source, whatever token comes with it; settings need a token. No secret is in the
// audit or in a log.
func TestSourcesWhereTokensAreAskedFor(t *testing.T) {
	var audit, log bytes.Buffer
	h, used := guarded(t, Options{
		Audit: slog.New(slog.NewJSONHandler(&audit, nil)), Requests: slog.New(slog.NewJSONHandler(&log, nil)),
		Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	h.b.add("other", 1)
	wantError(t, h.do("PUT", "/sources/hub", hubSource), 401, "unauthorized")
	wantOK(t, h.do("PUT", "/sources/hub", hubSource, bearer(adminToken)...), 201)
	wantError(t, h.do("PUT", "/sources/x", `{"topic":"t","verify":{"scheme":"github","secrets":"`+sourceSecret+`"}}`, bearer(adminToken)...), 400, "unknown_field")
	for _, shown := range [][]string{nil, {"Authorization", "Bearer nobody"}, bearer(h.create("reader", `[{"do":["read"],"topics":"other"}]`))} {
		headers := append(signedBy(sourceSecret, "{}", "X-GitHub-Delivery", "1"), shown...)
		wantOK(t, h.do("POST", "/sources/hub", "{}", headers...), 200)
		last := used()[len(used())-1]
		assert.Equal(t, protocol.RightWrite, last.Do)
		assert.True(t, last.Who.Topic(protocol.RightWrite, "default", "pushes"))
		assert.False(t, last.Who.Topic(protocol.RightWrite, "default", "other"))
		assert.False(t, last.Who.Topic(protocol.RightRead, "default", "pushes"))
		assert.False(t, last.Who.Group(protocol.RightRead, "default", "g"))
		wantError(t, h.do("POST", "/sources/hub", "{}", shown...), 401, "invalid_signature")
	}
	// What came on a connection before does not stay with it.
	wantError(t, h.do("POST", "/events", `{"topic":"pushes","value":1}`), 401, "unauthorized")
	require.Len(t, h.b.reqs, 3)
	wantError(t, h.do("POST", "/sources/hub", "{}", signedBy(sourceSecret, "{}", "X-GitHub-Delivery", "2", "Origin", "https://evil.example")...), 403, "cross_site")
	assert.Contains(t, audit.String(), `"path":"/sources/hub"`)
	assert.NotContains(t, audit.String(), `"method":"POST","path":"/sources/hub"`)
	assert.NotContains(t, audit.String()+log.String(), sourceSecret)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", h.b.sources[0], h.b.sources[0], h.b.sources[0].SourceSpec), sourceSecret)
}

func TestPointers(t *testing.T) {
	const doc = `{"a":{"b":[1,{"c/d":"x","e~f":2}],"":3},"a":9,"0":4,"\u0061b":5}`
	for pointer, want := range map[string]string{
		"/a/b/0": "1", "/a/b/1/c~1d": `"x"`, "/a/b/1/e~0f": "2", "/a/": "3", "/0": "4", "/ab": "5", "/a/b": `[1,{"c/d":"x","e~f":2}]`,
		"/a/b/2": "", "/a/b/00": "", "/a/b/-": "", "/a/b/-1": "", "/a/b/0/c": "", "/x": "", "/": "",
	} {
		v, found := pointedTo([]byte(doc), pointer)
		require.Equal(t, want != "", found, pointer)
		if found {
			assert.Equal(t, want, string(v.Raw), pointer)
		}
	}
	for _, body := range []string{"", "{", `{"a":1} x`, "a"} {
		_, found := pointedTo([]byte(body), "/a")
		assert.False(t, found, body)
	}
}

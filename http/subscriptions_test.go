package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hookSecret is the secret of the subscriptions of the tests, and hookToken a header's.
const (
	hookSecret = "whsec_c2VjcmV0LW9mLXRoZS10ZXN0cw=="
	hookToken  = "Bearer nobody-sees-this"
)

func TestSubscriptions(t *testing.T) {
	h := start(t, Options{})
	const spec = `{"topics":["orders"],"url":"https://hooks.example/a?b=c","secret":"` + hookSecret + `","headers":{"Authorization":"` + hookToken + `"}}`
	created := h.do("PUT", "/subscriptions/a", spec)
	wantOK(t, created, 201)
	assert.Equal(t, `{"name":"a","cluster":"default","topics":["orders"],"group":"subscription-a","url":"https://hooks.example/a?b=c","batch":1,"timeout_ms":10000,`+
		`"max_deliveries":20,"order":"partition","paused":false,"from":"earliest","dead_letter_topic":null,"headers":{"authorization":"left out"},"signed":true,`+
		`"created_at":"2026-11-22T17:16:03.123Z","state":"failing","lag":3,"last_status":503,"last_error":"answered with 503",`+
		`"last_attempt_at":"2026-11-22T17:16:03.123Z","failing_since":"2026-11-22T17:16:03.123Z"}`, strings.TrimSpace(created.body))
	assert.Equal(t, 200, h.do("PUT", "/subscriptions/a", spec).status)
	full := `{"topics":["a","b"],"cluster":"c","group":"g","from":"latest","url":"http://hooks.example","batch":10,"timeout_ms":1,"headers":{},` +
		`"max_deliveries":1,"dead_letter_topic":"d","order":"none","paused":true}`
	wantOK(t, h.do("PUT", "/subscriptions/z", full), 201)
	got := h.do("GET", "/subscriptions/z", "")
	wantOK(t, got, 200)
	for _, want := range []string{`"from":"latest"`, `"cluster":"c"`, `"group":"g"`, `"dead_letter_topic":"d"`, `"state":"paused"`, `"signed":false`, `"order":"none"`} {
		assert.Contains(t, got.body, want)
	}
	changed := h.do("PATCH", "/subscriptions/z", `{"paused":false,"order":"key","batch":3,"url":"https://other.example"}`)
	wantOK(t, changed, 200)
	for _, want := range []string{`"paused":false`, `"order":"key"`, `"batch":3`, `"max_deliveries":1,`, `"url":"https://other.example"`, `"from":"latest"`} {
		assert.Contains(t, changed.body, want)
	}
	list := h.do("GET", "/subscriptions", "")
	wantOK(t, list, 200)
	assert.Less(t, strings.Index(list.body, `"name":"a"`), strings.Index(list.body, `"name":"z"`))
	for _, a := range []answer{created, list, h.do("GET", "/subscriptions/a", "")} {
		assert.NotContains(t, a.body, hookSecret)
		assert.NotContains(t, a.body, hookToken)
	}
	assert.Equal(t, 204, h.do("DELETE", "/subscriptions/z", "").status)
	for _, method := range []string{"GET", "DELETE", "PATCH"} {
		wantError(t, h.do(method, "/subscriptions/z", map[string]string{"PATCH": `{"paused":true}`}[method]), 404, "subscription_not_found")
	}
}

// A subscription keeps the headers and the secret that a change does not name.
func TestAlteredSubscriptionsKeepTheirSecrets(t *testing.T) {
	h := start(t, Options{})
	wantOK(t, h.do("PUT", "/subscriptions/a", `{"topics":["t"],"url":"https://a.example","secret":"`+hookSecret+`","headers":{"x":"y"}}`), 201)
	wantOK(t, h.do("PATCH", "/subscriptions/a", `{"batch":2}`), 200)
	sub, err := h.b.Subscription("a")
	require.Nil(t, err)
	assert.Equal(t, hookSecret, string(sub.Secret))
	assert.Equal(t, "y", string(sub.Headers["x"]))
	wantOK(t, h.do("PUT", "/subscriptions/a", `{"topics":["t"],"url":"https://a.example"}`), 200)
	sub, err = h.b.Subscription("a")
	require.Nil(t, err)
	assert.Empty(t, sub.Secret)
	assert.Empty(t, sub.Headers)
}

func TestSubscriptionsThatAreRefused(t *testing.T) {
	h := start(t, Options{CheckTarget: func(u *url.URL) error {
		if u.Hostname() == "10.0.0.1" {
			return errors.New("is private")
		}
		return nil
	}})
	many := make([]string, 33)
	topics := make([]string, 101)
	for i := range many {
		many[i] = fmt.Sprintf(`"h%d":"x"`, i)
	}
	for i := range topics {
		topics[i] = fmt.Sprintf(`"t%d"`, i)
	}
	with := func(more string) string { return `{"topics":["t"],"url":"https://a.example",` + more + `}` }
	for body, want := range map[string]string{
		``:                                               "400 malformed",
		`{"url":"https://a.example"}`:                    "400 missing_field",
		`{"topics":["t"]}`:                               "400 missing_field",
		`{"topics":[],"url":"https://a.b"}`:              "400 invalid_parameter",
		`{"topics":["t"],"url":1}`:                       "400 malformed",
		`{"topics":["t"],"url":""}`:                      "422 not_allowed",
		`{"topics":["t"],"url":"ftp://a"}`:               "422 not_allowed",
		`{"topics":["t"],"url":"a.example"}`:             "422 not_allowed",
		`{"topics":["t"],"url":"http:///x"}`:             "422 not_allowed",
		`{"topics":["t"],"url":"http:a"}`:                "422 not_allowed",
		`{"topics":["t"],"url":"http://a\n"}`:            "422 not_allowed",
		`{"topics":["t"],"url":"https://u:p@a.example"}`: "422 not_allowed",
		`{"topics":["t"],"url":"https://a.example/#x"}`:  "422 not_allowed",
		`{"topics":["t"],"url":"https://10.0.0.1/"}`:     "422 not_allowed",
		`{"topics":["t"],"url":"https://a.example/` + strings.Repeat("a", 2048) + `"}`:     "422 not_allowed",
		`{"topics":["__consumer_offsets"],"url":"https://a.example"}`:                      "422 internal_topic",
		`{"topics":["t","t"],"url":"https://a.example"}`:                                   "422 not_allowed",
		`{"topics":[` + strings.Join(topics, ",") + `],"url":"https://a.example"}`:         "422 not_allowed",
		`{"topics":["t","t.dead"],"url":"https://a.example","dead_letter_topic":"t.dead"}`: "422 not_allowed",
		`{"topics":["` + strings.Repeat("a", 200) + `"],"url":"https://a.example"}`:        "422 not_allowed",
		with(`"batch":0`):                                   "422 not_allowed",
		with(`"batch":10001`):                               "422 not_allowed",
		with(`"timeout_ms":0`):                              "400 invalid_parameter",
		with(`"timeout_ms":30001`):                          "400 limit_exceeded",
		with(`"max_deliveries":0`):                          "422 not_allowed",
		with(`"order":"some"`):                              "422 not_allowed",
		with(`"paused":1`):                                  "400 malformed",
		with(`"secret":"not base64!"`):                      "422 not_allowed",
		with(`"secret":""`):                                 "422 not_allowed",
		with(`"dead_letter_topic":"t"`):                     "422 not_allowed",
		with(`"dead_letter_topic":"__x"`):                   "422 internal_topic",
		with(`"headers":["a"]`):                             "400 malformed",
		with(`"headers":{"a":1}`):                           "400 malformed",
		with(`"headers":{"a b":"x"}`):                       "400 invalid_parameter",
		with(`"headers":{"a":"x\ny"}`):                      "422 not_allowed",
		with(`"headers":{"Host":"x"}`):                      "422 not_allowed",
		with(`"headers":{"Webhook-Id":"x"}`):                "422 not_allowed",
		with(`"headers":{` + strings.Join(many, ",") + `}`): "422 not_allowed",
		with(`"more":1`):                                    "400 unknown_field",
		with(`"group":"a b"`):                               "422 invalid_name",
		with(`"from":"now"`):                                "422 not_allowed",
	} {
		a := h.do("PUT", "/subscriptions/a", body)
		var e struct{ Code string }
		require.NoError(t, json.Unmarshal([]byte(a.body), &e), body)
		assert.Equal(t, want, fmt.Sprintf("%d %s", a.status, e.Code), body)
		assert.NotContains(t, a.body, "not base64")
	}
	wantError(t, h.do("PUT", "/subscriptions/"+strings.Repeat("a", 200), `{"topics":["t"],"url":"https://a.example"}`), 422, "not_allowed")
	wantOK(t, h.do("PUT", "/subscriptions/a", `{"topics":["t"],"url":"https://a.example"}`), 201)
	for body, want := range map[string]string{
		``: "400 malformed", `{"topics":["u"]}`: "400 unknown_field", `{"url":"https://10.0.0.1/"}`: "422 not_allowed",
		`{"dead_letter_topic":"t"}`: "422 not_allowed", `{"order":"x"}`: "422 not_allowed",
	} {
		a := h.do("PATCH", "/subscriptions/a", body)
		var e struct{ Code string }
		require.NoError(t, json.Unmarshal([]byte(a.body), &e), body)
		assert.Equal(t, want, fmt.Sprintf("%d %s", a.status, e.Code), body)
		assert.NotContains(t, a.body, "not base64")
	}
}

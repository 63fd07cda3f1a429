package webhook

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// The example of the specification.
func TestSignatures(t *testing.T) {
	h := http.Header{}
	sign(h, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	assert.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get("webhook-signature"))
	assert.Equal(t, "1614265330", h.Get("webhook-timestamp"))
	assert.Equal(t, "msg_p5jXN8AQM9LWM0D4loKWxJek", h.Get("webhook-id"))
	unsigned := http.Header{}
	sign(unsigned, "", "msg_1", nil, time.Unix(1, 0))
	assert.NotContains(t, unsigned, http.CanonicalHeaderKey("webhook-signature"))
}

func TestBodies(t *testing.T) {
	render := func(dst []byte, r *protocol.Record) []byte { return append(dst, r.Value...) }
	records := []protocol.Record{{Value: []byte("1")}, {Value: []byte("2")}}
	assert.Equal(t, "1", string(body(records[:1], 1, render)))
	assert.Equal(t, "[1]", string(body(records[:1], 2, render)))
	assert.Equal(t, "[1,2]", string(body(records, 2, render)))
	assert.Equal(t, "msg_t-3-5", messageID("t", 3, 5, 6, 1))
	assert.Equal(t, "msg_t-3-5-9", messageID("t", 3, 5, 9, 10))
}

// attemptAt posts to a handler.
func attemptAt(t *testing.T, handler http.HandlerFunc, timeoutMs int64) attempt {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	sub := &protocol.Subscription{SubscriptionSpec: protocol.SubscriptionSpec{URL: server.URL + "/in?a=b", TimeoutMs: timeoutMs, Headers: map[string]protocol.Secret{"authorization": "Bearer x"}}}
	return post(context.Background(), newClient(parsed(t, "127.0.0.1")), "ottla/test", sub, "msg_1", []byte("{}"), time.Now)
}

func TestAnswers(t *testing.T) {
	status := func(n int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(n)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		verdict verdict
		status  int
		after   time.Duration
		reason  string
	}{
		"200":                {status(200), delivered, 200, 0, ""},
		"204":                {status(204), delivered, 204, 0, ""},
		"400":                {status(400), failed, 400, 0, "answered with 400"},
		"410":                {status(410), goneAway, 410, 0, "answered with 410"},
		"429":                {status(429, "Retry-After", "7"), failed, 429, 7 * time.Second, "answered with 429"},
		"503 without a time": {status(503), failed, 503, 0, "answered with 503"},
		"503 for years":      {status(503, "Retry-After", "99999999999"), failed, 503, 24 * time.Hour, "answered with 503"},
		"500 with a time":    {status(500, "Retry-After", "7"), failed, 500, 0, "answered with 500"},
		"a redirect":         {status(307, "Location", "/elsewhere"), failed, 307, 0, "answered with 307: redirects are not followed"},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, failed, 0, 0, "no answer in time"},
		"an endless answer": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, delivered, 200, 0, ""},
		"large headers": {status(200, "X", strings.Repeat("x", 70<<10)), failed, 0, 0, ""},
		"what is sent": {func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			ok := r.Method == "POST" && string(text) == "{}" && r.Header.Get("Content-Type") == "application/json" && r.URL.RawQuery == "a=b" &&
				r.Header.Get("Authorization") == "Bearer x" && r.UserAgent() == "ottla/test" && r.Header.Get("Webhook-Id") == "msg_1"
			if !ok {
				w.WriteHeader(400)
			}
		}, delivered, 200, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := int64(30_000) // none that is given is missed, however slow this machine is
			if name == "no answer" {
				timeout = 500
			}
			a := attemptAt(t, c.handler, timeout)
			assert.Equal(t, c.verdict, a.verdict)
			assert.Equal(t, c.status, a.status)
			assert.Equal(t, c.after, a.after)
			if c.reason != "" || c.verdict == delivered {
				assert.Equal(t, c.reason, a.reason)
			}
		})
	}
}

func TestRetryAfterAsADate(t *testing.T) {
	now := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	assert.Equal(t, 30*time.Second, retryAfter("Sun, 29 Nov 2026 10:00:30 GMT", now))
	for _, past := range []string{"Sun, 29 Nov 2026 09:00:30 GMT", "-1", "soon", ""} {
		assert.Zero(t, retryAfter(past, now), past)
	}
}

// Proxies of the environment are not asked: they would reach what must not be reached.
func TestProxiesAreNotAsked(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a proxy was asked") }))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	assert.Nil(t, newClient(parsed(t)).Transport.(*http.Transport).Proxy)
	sub := &protocol.Subscription{SubscriptionSpec: protocol.SubscriptionSpec{URL: "http://10.0.0.1/secret-path", TimeoutMs: 500}}
	a := post(context.Background(), newClient(parsed(t)), "", sub, "msg_1", nil, time.Now)
	assert.Equal(t, failed, a.verdict)
	assert.Contains(t, a.reason, "webhooks.allow")
	assert.NotContains(t, a.reason, "secret-path")
}

// Pauses double up to a bound, and leave a half to chance.
func TestPauses(t *testing.T) {
	for failures, most := range map[int]time.Duration{1: firstPause, 2: 2 * firstPause, 5: 16 * firstPause, 10: 256 * time.Second, 11: longestPause, 100: longestPause, 1 << 20: longestPause} {
		spread := map[time.Duration]bool{}
		for range 50 {
			p := pause(failures)
			require.LessOrEqual(t, p, most, failures)
			require.GreaterOrEqual(t, p, most/2, failures)
			spread[p] = true
		}
		assert.Greater(t, len(spread), 10, failures)
	}
}

func TestReasonsAreClipped(t *testing.T) {
	text := clip("a\x1b[31m\n" + strings.Repeat("ü", 500))
	assert.LessOrEqual(t, len(text), maxReason+3)
	assert.NotContains(t, text, "\x1b")
	assert.True(t, strings.HasSuffix(text, "..."))
}

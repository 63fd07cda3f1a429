package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ottla/protocol"
)

const (
	maxAnswerBytes  = 64 << 10 // of the body of an answer; the rest is not read
	maxAnswerHeader = 64 << 10
	idleConnections = 256 // of the process

	firstPause   = 500 * time.Millisecond // after the first failure; doubles
	longestPause = 5 * time.Minute
	longestAfter = 24 * time.Hour // of Retry-After
)

// newClient makes the client of all deliveries of a process. It follows no redirects,
// asks no proxy, and connects only to where deliveries may go.
func newClient(t *Targets) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            t.dialer(&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}),
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           idleConnections,
			MaxIdleConnsPerHost:    concurrency,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: maxAnswerHeader,
		},
	}
}

// verdict is what the answer to a delivery means.
type verdict int

const (
	delivered verdict = iota
	failed            // it is tried again
	goneAway          // the receiver wants no more of this subscription
)

// attempt is how a delivery went.
type attempt struct {
	verdict verdict
	status  int           // of the answer, 0: there was none
	after   time.Duration // that the receiver wants to be left alone for
	reason  string        // of a failure
	at      time.Time
}

// post sends a delivery and says how it went.
func post(ctx context.Context, client *http.Client, agent string, sub *protocol.Subscription, id string, text []byte, now func() time.Time) attempt {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(sub.TimeoutMs)*time.Millisecond)
	defer cancel()
	a := attempt{verdict: failed, at: now()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.URL, bytes.NewReader(text))
	if err != nil {
		a.reason = err.Error()
		return a
	}
	req.Header.Set("User-Agent", agent)
	for name, value := range sub.Headers {
		req.Header.Set(name, string(value))
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, sub.Secret, id, text, a.at)
	resp, err := client.Do(req)
	if err != nil {
		a.reason = reasonOf(err)
		return a
	}
	defer resp.Body.Close() //nolint:errcheck // nothing of it is needed
	// What is read to its end leaves the connection for the next delivery.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswerBytes)
	a.status = resp.StatusCode
	switch {
	case a.status >= 200 && a.status < 300:
		a.verdict = delivered
		return a
	case a.status == http.StatusGone:
		a.verdict = goneAway
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable:
		a.after = retryAfter(resp.Header.Get("Retry-After"), a.at)
	}
	a.reason = "answered with " + strconv.Itoa(a.status)
	if a.status >= 300 && a.status < 400 {
		a.reason += ": redirects are not followed"
	}
	return a
}

// reasonOf says why there was no answer, without the URL, which may have secrets.
func reasonOf(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return "no answer in time"
		}
		err = wrapped.Err
	}
	return clip(err.Error())
}

const maxReason = 200 // bytes

// retryAfter reads seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
		return min(longestAfter, time.Duration(min(max(n, 0), int64(longestAfter/time.Second)))*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(longestAfter, max(0, at.Sub(now)))
	}
	return 0
}

// pause is how long to wait after that many failures in a row: it doubles, and half of
// it is left to chance, so that what failed together does not come back together.
func pause(failures int) time.Duration {
	d := longestPause
	if failures < 16 {
		d = min(d, firstPause<<max(0, failures-1))
	}
	return d/2 + rand.N(d/2+1)
}

package client

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A redirect to another host gets nothing that says who asks, nor what was sent; one at
// the same host is followed.
func TestRedirectsStayAtTheHost(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL+"/health", http.StatusTemporaryRedirect)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		default:
			assert.Equal(t, "secret", r.Header.Get("X-Team"))
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	defer here.Close()
	for _, options := range [][]Option{nil, {WithHTTPClient(&http.Client{})}} {
		c, err := New(here.URL, append(options, WithToken("t"), WithHeaders(http.Header{"X-Team": {"secret"}}))...)
		require.NoError(t, err)
		_, err = c.Do(t.Context(), "POST", "/near", nil, []byte(`{}`))
		require.NoError(t, err)
		for _, path := range []string{"/away", "/round"} {
			var refused *Error
			_, err = c.Do(t.Context(), "POST", path, nil, []byte(`{}`))
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, http.StatusTemporaryRedirect, refused.Status)
		}
		c.CloseIdleConnections()
	}
	assert.Zero(t, asked.Load())
}

// Further headers are never those that say what a request is.
func TestFurtherHeadersReplaceNoneOfTheRequest(t *testing.T) {
	for _, own := range []string{"producer-seq", "Producer-Id", "Producer-Epoch", "Idempotency-Key", "Last-Event-ID", "Content-Type", "Content-Length", "Host"} {
		_, err := New("http://127.0.0.1:1", WithHeaders(http.Header{own: {"1"}}))
		assert.ErrorContains(t, err, own)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, []string{"2"}, r.Header["X-Both"])
		assert.Equal(t, []string{"more"}, r.Header["X-More"])
		assert.Equal(t, "application/json", r.Header.Get("Content-Type"))
		_, _ = io.WriteString(w, `{}`)
	}))
	defer s.Close()
	c, err := New(s.URL, WithHeaders(http.Header{"X-Both": {"1"}, "X-More": {"more"}}))
	require.NoError(t, err)
	_, err = c.DoWith(t.Context(), "POST", "/", nil, map[string]string{"X-Both": "2"}, []byte(`{}`))
	require.NoError(t, err)
	c.CloseIdleConnections()
}

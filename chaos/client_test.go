package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// The transport repeats a GET whose connection breaks. What the first try did
// is unknown, whatever the answer to the second says.
func TestARefusalOfARepetitionIsNoRefusal(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 2: // as when the broker is killed before it answers
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":"starting","outcome":"none"}`))
		}
	}))
	defer s.Close()
	_, a := call(context.Background(), callLimit, http.MethodGet, s.URL, nil, nil)
	require.True(t, a.none(), "the only try")
	status, a := call(context.Background(), callLimit, http.MethodGet, s.URL, nil, nil)
	require.EqualValues(t, 3, calls.Load(), "the transport did not repeat it")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.False(t, a.none())
}

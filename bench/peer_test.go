package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func short() Options {
	o := DefaultOptions()
	o.Duration, o.Warmup = 200*time.Millisecond, 50*time.Millisecond
	return o
}

func TestPeersAreMeasuredAsBrokersAre(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "got %s", body)
	}))
	t.Cleanup(s.Close)
	peer := Peer{Name: "peer", Connections: 3, Pids: []int{os.Getpid()}}
	m, err := MeasurePeerHTTP(t.Context(), short(), peer, s.Listener.Addr().String(), "/x", [][]byte{[]byte("a1"), []byte("a2")}, "got a")
	require.NoError(t, err)
	assert.Positive(t, m.Requests)
	assert.Equal(t, m.Requests, m.Records)
	assert.Zero(t, m.Errors, m.FirstError)
	assert.Equal(t, 3, m.Connections)

	m, err = MeasurePeer(t.Context(), short(), peer, func(ctx context.Context, c Counter) error {
		for ctx.Err() == nil {
			c.Done(time.Millisecond, 10)
			c.Count(5)
			c.Failed(errors.New("no"))
			waitUntil(ctx, time.Now().Add(time.Millisecond))
		}
		return nil
	})
	require.NoError(t, err)
	assert.Positive(t, m.Errors)
	assert.Equal(t, "no", m.FirstError)
	assert.Greater(t, m.Records, m.Requests)

	bad := errors.New("bad")
	_, err = MeasurePeer(t.Context(), short(), peer, func(context.Context, Counter) error { return bad })
	require.ErrorIs(t, err, bad)
}

func TestEchoAnswersWithTheBody(t *testing.T) {
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- ServeEcho(ctx, "127.0.0.1:0", w) }()
	var addr string
	_, err := fmt.Fscanf(r, "echo listening on http://%s\n", &addr)
	require.NoError(t, err)
	o := short()
	m, err := MeasurePeerHTTP(t.Context(), o, Peer{Name: "echo", Connections: 2}, addr, "/events", [][]byte{[]byte("hello")}, "hello")
	require.NoError(t, err)
	assert.Zero(t, m.Errors, m.FirstError)
	cancel()
	require.NoError(t, <-served)
	require.Error(t, ServeEcho(t.Context(), "nowhere:x", io.Discard))
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
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
	m, err := MeasurePeerHTTP(t.Context(), short(), peer, s.Listener.Addr().String(), []PeerCall{
		{Path: "/x", MediaType: "text/plain", Body: []byte("a1"), Records: 1, Want: "got a"},
		{Path: "/x", MediaType: "text/plain", Body: []byte("a2"), Records: 1, Want: "got a"},
	})
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
	m, err := MeasurePeerHTTP(t.Context(), o, Peer{Name: "echo", Connections: 2}, addr,
		[]PeerCall{{Path: "/events", MediaType: "application/json", Body: []byte("hello"), Records: 1, Want: "hello"}})
	require.NoError(t, err)
	assert.Zero(t, m.Errors, m.FirstError)
	cancel()
	require.NoError(t, <-served)
	require.Error(t, ServeEcho(t.Context(), "nowhere:x", io.Discard))
}

// stream answers with server-sent events: each POST is one, for each GET that is open.
type stream struct {
	mu      sync.Mutex
	readers map[chan string]bool
	skip    string // an event that nobody gets
}

func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.readers {
			if string(body) != s.skip {
				c <- string(body)
			}
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	events := make(chan string, 1000)
	s.mu.Lock()
	s.readers[events] = true
	s.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case e := <-events:
			fmt.Fprintf(w, "event: data\ndata:%s\n\n", e)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func TestPeersStreamsAreHeardByAllSubscribers(t *testing.T) {
	for _, skip := range []string{"none", "8"} {
		s := httptest.NewServer(&stream{readers: map[chan string]bool{}, skip: skip})
		t.Cleanup(s.Close)
		o := short()
		o.Rate, o.Warmup = 100, 10*time.Millisecond
		list, err := MeasurePeerFanout(t.Context(), o, Peer{Name: "peer", Connections: 3}, PeerStream{
			Addr: s.Listener.Addr().String(),
			Path: "/",
			Publish: func(ctx context.Context, n int) error {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(strconv.Itoa(n)))
				if err != nil {
					return err
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					return err
				}
				return resp.Body.Close()
			},
			Events: func(line []byte, yield func(int64)) {
				if digits, found := strings.CutPrefix(string(line), "data:"); found {
					n, _ := strconv.ParseInt(digits, 10, 64)
					yield(n)
				}
			},
		})
		require.NoError(t, err)
		require.Len(t, list, 2)
		assert.Positive(t, list[1].Records)
		assert.Zero(t, list[1].Errors, list[1].FirstError)
		assert.InDelta(t, 3*list[1].Records, list[0].Records, 9, "each subscriber has each event")
		if skip == "none" {
			assert.Zero(t, list[0].Errors, list[0].FirstError)
		} else {
			assert.EqualValues(t, 3, list[0].Errors, "an event is missing")
			assert.Equal(t, "event 9 after 7", list[0].FirstError)
		}
		s.CloseClientConnections()
	}
}

func TestAnswersOfPeersMayHaveNamesInLowerCase(t *testing.T) {
	var r response
	done, err := r.feed([]byte("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"))
	require.NoError(t, err)
	assert.True(t, done)
	assert.Equal(t, "ok", string(r.tail))
	_, err = r.feed([]byte("HTTP/1.1 200 OK\r\nx-content-length-2: 2\r\n\r\nok"))
	require.ErrorIs(t, err, errNoLength)
}

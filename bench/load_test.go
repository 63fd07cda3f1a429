package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drivers are the ways to drive a load; on Linux there are two.
var drivers = map[string]func(*load, context.Context) error{"native": (*load).run, "portable": (*load).runPortable}

func TestLoadCountsRightAndWrongAnswers(t *testing.T) {
	body := strings.Repeat("x", 300_000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "300003")
		switch r.URL.Path {
		case "/right":
			fmt.Fprint(w, body+"end")
		case "/wrong":
			fmt.Fprint(w, body+"___")
		default:
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(503)
			fmt.Fprint(w, "busy")
		}
	}))
	t.Cleanup(s.Close)
	for name, run := range drivers {
		t.Run(name, func(t *testing.T) {
			get := func(path string) []byte { return []byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n") }
			post := []byte("POST /right HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" + strings.Repeat("y", 8_000_000))
			calls := []call{
				{wire: get("/right"), records: 3, want: []byte("end")},
				{wire: get("/wrong"), records: 3, want: []byte("end")},
				{wire: get("/busy"), records: 3},
				{wire: post, records: 3, want: []byte("end")},
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			rec := newRecorder("x")
			l := &load{addrs: []string{s.Listener.Addr().String()}, connections: 2, rec: rec, next: func(_ int, n int64) *call {
				if n == 8 {
					cancel()
				}
				return &calls[n%4]
			}}
			require.NoError(t, run(l, ctx))
			p := rec.point(time.Second, time.Second)
			m := rec.measurement(time.Second)
			assert.GreaterOrEqual(t, m.Requests, int64(4))
			assert.GreaterOrEqual(t, m.Errors, int64(4))
			assert.Equal(t, 3*m.Requests, m.Records)
			assert.Equal(t, 300_003*m.Requests, m.Bytes)
			assert.Contains(t, m.FirstError, "___")
			assert.Positive(t, p.P50)
		})
	}
}

// A stall of the server must show in the latencies of all requests that were due
// during it, not in that of a single one.
func TestOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	for name, run := range drivers {
		t.Run(name, func(t *testing.T) {
			const stall = time.Second
			first := make(chan struct{}, 1)
			first <- struct{}{}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				select {
				case <-first:
					<-time.After(stall)
				default:
				}
				fmt.Fprint(w, "ok")
			}))
			t.Cleanup(s.Close)
			ctx, cancel := context.WithTimeout(t.Context(), 2*stall)
			defer cancel()
			rec := newRecorder("x")
			rec.slots = newSchedule(200, time.Now())
			l := &load{addrs: []string{s.Listener.Addr().String()}, connections: 1, rec: rec, slots: rec.slots, next: inTurn([]call{
				{wire: []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), records: 1},
			})}
			require.NoError(t, run(l, ctx))
			rec.point(stall, stall)
			m := rec.measurement(2 * stall)
			assert.Greater(t, m.Requests, int64(30))
			assert.Greater(t, m.Latency.P90, micros(int64(stall))/3, "about half of them were due during the stall: %+v", m.Latency)
			assert.InDelta(t, 200, m.OpenRate, 0)
		})
	}
}

func TestLoadFailsWhenTheServerDoes(t *testing.T) {
	for name, run := range drivers {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					_ = conn.Close()
				}
			}()
			l := &load{addrs: []string{ln.Addr().String()}, connections: 1, rec: newRecorder("x"), next: inTurn([]call{{wire: []byte("x")}})}
			require.Error(t, run(l, t.Context()))
			require.NoError(t, ln.Close())
			require.ErrorContains(t, run(l, t.Context()), "connect")
		})
	}
}

func TestResponseInPieces(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
		"HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
	} {
		for size := 1; size <= len(text); size++ {
			var r response
			for range 2 { // it is used again
				for rest := text; rest != ""; {
					piece := rest[:min(size, len(rest))]
					rest = rest[len(piece):]
					done, err := r.feed([]byte(piece))
					require.NoError(t, err)
					assert.Equal(t, rest == "", done)
				}
				assert.Equal(t, text[strings.Index(text, "\r\n\r\n")+4:], string(r.tail))
			}
			assert.Equal(t, text[9:12], fmt.Sprint(r.status))
		}
	}
	for _, text := range []string{
		"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", strings.Repeat("x", maxHead+1),
	} {
		var r response
		_, err := r.feed([]byte(text))
		assert.Error(t, err, "%.40q", text)
	}
}

func TestScheduleIsEven(t *testing.T) {
	start := time.Now()
	s := newSchedule(1000, start)
	due, wait := s.take(start)
	assert.Equal(t, start, due)
	assert.Zero(t, wait)
	_, wait = s.take(start)
	assert.Equal(t, time.Millisecond, wait)
	due, wait = s.take(start.Add(5 * time.Millisecond))
	assert.Zero(t, wait)
	assert.Equal(t, start.Add(time.Millisecond), due, "nothing is left out")
	assert.Equal(t, start.Add(2*time.Millisecond), s.reserve())
	s.restart(start.Add(-time.Second))
	began, overdue := start.Add(-time.Second), s.overdue()
	assert.GreaterOrEqual(t, overdue, int64(999))
	assert.LessOrEqual(t, overdue, time.Since(began).Milliseconds()+1)
}

func TestDueMeansNeverEarly(t *testing.T) {
	for i := range 20 {
		due := time.Now().Add(time.Duration(i) * 300 * time.Microsecond)
		require.True(t, waitDue(t.Context(), due))
		assert.False(t, time.Now().Before(due))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.False(t, waitDue(ctx, time.Now().Add(time.Hour)))
	assert.False(t, waitDue(ctx, time.Now()))
}

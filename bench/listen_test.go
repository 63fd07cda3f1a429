package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// However the bytes of an answer are cut, its lines are the same.
func TestEndlessAnswerInPieces(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\na\nbc\nd\r\nb\r\ne\n\nfghijklm\r\n2\r\nn\n\r\n"
	for size := 1; size <= len(answer); size++ {
		var (
			e      endless
			lines  []string
			opened int
		)
		for b := []byte(answer); len(b) > 0; b = b[min(size, len(b)):] {
			open, err := e.feed(b[:min(size, len(b))], func(line []byte) { lines = append(lines, string(line)) })
			require.NoError(t, err)
			if open {
				opened++
			}
		}
		assert.Equal(t, []string{"a", "bc", "de", "", "fghijklmn"}, lines, "pieces of %d", size)
		assert.Equal(t, 1, opened)
		_, err := e.feed([]byte("0\r\n\r\n"), nil)
		assert.ErrorIs(t, err, errEndlessEnded)
	}
	for _, wrong := range []string{"HTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nxyz\r\n"} {
		_, err := (&endless{}).feed([]byte(wrong), nil)
		assert.Error(t, err, wrong)
	}
}

func TestStreamsAreReadUntilTheEnd(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "%s %d\n", r.URL.Path, i)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	for name, run := range map[string]func(*streams, context.Context) error{"native": (*streams).run, "portable": (*streams).runPortable} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			got, opened := map[string]bool{}, 0
			l := &streams{
				addrs: []string{s.Listener.Addr().String()}, connections: 5,
				request: func(connection int) []byte {
					return fmt.Appendf(nil, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", connection)
				},
				opened: func() {
					mu.Lock()
					defer mu.Unlock()
					opened++
				},
				line: func(connection int, line []byte, _ time.Time) {
					mu.Lock()
					defer mu.Unlock()
					got[fmt.Sprintf("%d: %s", connection, line)] = true
					if len(got) == 15 {
						cancel()
					}
				},
			}
			require.NoError(t, run(l, ctx))
			assert.Equal(t, 5, opened)
			assert.True(t, got["4: /4 2"] && got["0: /0 0"])
		})
	}
}

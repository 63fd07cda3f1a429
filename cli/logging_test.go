package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/config"
)

func TestLogLevelsByPackage(t *testing.T) {
	var out bytes.Buffer
	l := newLogs(&out, false, config.Log{Level: "warn", Levels: config.Levels{"actors": "debug"}, Format: "text"})
	defer l.close()
	l.logger("http").Info("hidden")
	l.logger("http").With("n", 1).WithGroup("g").Info("hidden")
	assert.Empty(t, out.String())
	l.logger("http").Warn("shown", "n", 1)
	assert.Contains(t, out.String(), "level=WARN msg=shown package=http n=1\n")
	out.Reset()
	l.logger("actors").With("n", 2).Debug("shown")
	assert.Contains(t, out.String(), "level=DEBUG msg=shown package=actors n=2\n")
}

func TestLogFormats(t *testing.T) {
	for _, tt := range []struct {
		format   string
		terminal bool
		json     bool
	}{{"auto", true, false}, {"auto", false, true}, {"json", true, true}, {"text", false, false}} {
		for _, requests := range []bool{false, true} {
			var out bytes.Buffer
			l := newLogs(&out, tt.terminal, config.Log{Level: "info", Format: tt.format, Requests: requests})
			if requests {
				l.requests.Info("request", "n", 1)
			} else {
				assert.Nil(t, l.requests)
				l.logger("http").Info("shown", "n", 1)
			}
			l.close()
			assert.Equal(t, tt.json, json.Valid(out.Bytes()), "%+v: %s", tt, &out)
			assert.Equal(t, 1, strings.Count(out.String(), "\n"))
		}
	}
}

// gate is a writer that blocks until it is opened.
type gate struct {
	open  chan struct{}
	taken chan struct{} // a write has begun
	mu    sync.Mutex
	out   bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	select {
	case g.taken <- struct{}{}:
	default:
	}
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out.Write(b)
}

// The reader of standard error may be stuck. Requests continue, and the number of
// lost lines is logged when it reads again.
func TestRequestLinesNeverWait(t *testing.T) {
	g := &gate{open: make(chan struct{}), taken: make(chan struct{}, 1)}
	var warnings bytes.Buffer
	q := newLineQueue(g, 100, slog.New(slog.NewTextHandler(&warnings, nil)))
	line := []byte("123456789\n")
	_, _ = q.Write(line)
	<-g.taken // that one is with the writer; from here on lines queue
	for range 25 {
		n, err := q.Write(line)
		require.NoError(t, err)
		require.Equal(t, len(line), n)
	}
	close(g.open)
	q.close()
	assert.Equal(t, strings.Repeat("123456789\n", 11), g.out.String())
	assert.Contains(t, warnings.String(), "lines=15")
}

func TestRequestLinesArriveWholeAndInOrder(t *testing.T) {
	var out bytes.Buffer
	q := newLineQueue(&out, maxQueued, slog.New(slog.DiscardHandler))
	const writers, each = 8, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				fmt.Fprintf(q, "%d %d\n", w, i)
			}
		})
	}
	wg.Wait()
	q.close()
	var next [writers]int
	for line := range strings.Lines(out.String()) {
		var w, i int
		_, err := fmt.Sscanf(line, "%d %d\n", &w, &i)
		require.NoError(t, err, line)
		require.Equal(t, next[w], i)
		next[w]++
	}
	for _, n := range next {
		assert.Equal(t, each, n)
	}
}

// A reader that never reads again must not keep the process from ending.
func TestAStuckLogDoesNotKeepTheProcess(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	l := newLogs(w, false, config.Log{Level: "info", Format: "text", Requests: true})
	for range 3000 { // more than a pipe holds
		l.requests.Info(strings.Repeat("x", 100))
	}
	l.close()
}

func BenchmarkLineQueue(b *testing.B) {
	q := newLineQueue(io.Discard, maxQueued, slog.New(slog.DiscardHandler))
	defer q.close()
	line := bytes.Repeat([]byte("x"), 250)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = q.Write(line)
		}
	})
}

package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/config"
)

// Where clients make more causes than are told apart, what else fails is still named:
// by its message.
func TestManyCausesHideNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		l := newLogs(&out, false, config.Log{Level: "info", Format: "text"})
		for i := range 2 * maxLogCauses {
			l.logger("http").Warn("refused", "cause", strings.Repeat("x", i%100)+strings.Repeat("y", i/100))
		}
		out.lines()
		for range 10 {
			l.logger("actors").Error("disk round failed", "error", "input/output error")
		}
		got := out.lines()
		assert.Len(t, got, logBurst)
		assert.Contains(t, got[0], "disk round failed")

		for i := range 1000 { // more messages than the program has
			l.logger("http").Warn(strings.Repeat("y", i))
		}
		assert.LessOrEqual(t, len(l.limiter.rest), maxLogCauses+1)
		l.close()
		<-time.After(2 * logInterval)
	})
}

// Each partition that is damaged is named, once; many of one cause are bounded.
func TestEachPartitionThatFailsIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		l := newLogs(&out, false, config.Log{Level: "info", Format: "text"})
		log := l.logger("actors")
		for range 3 {
			for i := range 40 {
				log.With("topic", "orders", "partition", i, "replica", 7*i).Error("log damaged", "error", fmt.Errorf("checksum at %d", i))
				log.Warn("moved", "topic", "orders", "partition", i)
				log.With("topic", "orders", "partition", i).Info("elected")
			}
		}
		got := out.lines()
		assert.Len(t, got, 40+40+logBurst)
		for i := range 40 {
			require.Contains(t, strings.Join(got, "\n"), fmt.Sprintf("topic=orders partition=%d replica", i))
		}
		for i := range 5000 {
			log.With("topic", "orders", "partition", i).Error("log damaged")
		}
		assert.LessOrEqual(t, len(out.lines()), maxLogCauses+logBurst)
		l.close()
		<-time.After(2 * logInterval)
	})
}

// The request lines that were dropped are all counted, however often that happens.
func TestEveryDroppedRequestLineIsCounted(t *testing.T) {
	var out lockedBuffer
	l := newLogs(&out, false, config.Log{Level: "info", Format: "json", Requests: true})
	l.queue.limit = 10 // nothing fits
	const rounds, each = 2 * logBurst, 20
	for range rounds {
		for range each {
			l.requests.Info("GET")
		}
		require.Eventually(t, func() bool {
			l.queue.mu.Lock()
			defer l.queue.mu.Unlock()
			return l.queue.dropped == 0
		}, time.Minute, time.Millisecond)
	}
	l.requests.Info("GET")
	l.close()
	counted := 0
	for _, line := range out.lines() {
		var said struct{ Lines int }
		require.NoError(t, json.Unmarshal([]byte(line), &said))
		counted += said.Lines
	}
	assert.Equal(t, rounds*each+1, counted)
}

// A log that is stuck keeps the end from coming neither for request lines nor for those
// that were left out.
func TestAStuckLogDoesNotKeepWhatWasLeftOut(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	l := newLogs(w, false, config.Log{Level: "info", Format: "text", Requests: true})
	for range logBurst + 2 {
		l.logger("http").Warn("refused")
	}
	for range 3000 { // more than a pipe holds
		l.requests.Info(strings.Repeat("x", 100))
	}
	l.close()
}

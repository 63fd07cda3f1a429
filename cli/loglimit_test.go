package cli

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"ottla/config"
)

// lockedBuffer is what several goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// lines returns what was written since the last call.
func (l *lockedBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return strings.Split(strings.TrimSuffix(l.b.String(), "\n"), "\n")
}

// A flood of one cause leaves a few lines and the number of the others; other causes,
// and other packages, are logged meanwhile.
func TestAFloodOfOneCauseIsALineAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		l := newLogs(&out, false, config.Log{Level: "info", Format: "text"})
		log := l.logger("http")
		for i := range 1000 {
			log.Warn("refused", "remote", i, "error", fmt.Errorf("topic \"t%d\" at %d", i, i))
		}
		log.Warn("refused", "error", errors.New("something else"))
		l.logger("actors").Warn("refused", "error", errors.New(`topic "z" at 7`))
		assert.Len(t, out.lines(), logBurst+2)
		<-time.After(logInterval)
		synctest.Wait()
		got := out.lines()
		assert.Len(t, got, 1)
		assert.Contains(t, got[0], fmt.Sprintf("refused (and %d more like it)", 1000-logBurst-1))
		assert.Contains(t, got[0], "remote=999")

		for range 100 { // it goes on: one summary for each interval
			log.Warn("refused", "error", errors.New(`topic "z" at 7`))
		}
		<-time.After(logInterval)
		synctest.Wait()
		got = out.lines()
		assert.Len(t, got, 1)
		assert.Contains(t, got[0], "(and 99 more like it)")
		<-time.After(2 * logInterval)
		log.Warn("refused", "error", errors.New(`topic "z" at 7`))
		assert.Len(t, out.lines(), 1, "it had ended")

		for range logBurst + 2 {
			log.Warn("at the end")
		}
		out.lines()
		l.close()
		assert.Contains(t, out.lines()[0], "at the end (and 1 more like it)", "the end does not hide it")
		<-time.After(logInterval)
	})
}

// However many causes there are, they take a bounded part of memory and of the log.
func TestCausesOfLogLinesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		l := newLogs(&out, false, config.Log{Level: "info", Format: "text"})
		log := l.logger("http")
		name := func(i int) string { return strings.Repeat("x", i%100) + strings.Repeat("y", i/100) }
		for i := range 5000 {
			log.Error("failed", "cause", name(i))
		}
		assert.LessOrEqual(t, len(out.lines()), maxLogCauses+logBurst)
		assert.LessOrEqual(t, len(l.limiter.causes), maxLogCauses+1)
		<-time.After(2 * logInterval)
		out.lines()
		for i := range 10 {
			log.Error("failed", "cause", name(100+i))
		}
		assert.Len(t, out.lines(), 10, "what is over is forgotten")
	})
}

// Debug lines are for somebody who wants them all.
func TestDebugLinesAreNotLimited(t *testing.T) {
	var out lockedBuffer
	l := newLogs(&out, false, config.Log{Level: "debug", Format: "text"})
	for range 100 {
		l.logger("http").Debug("step")
	}
	assert.Len(t, out.lines(), 100)
}

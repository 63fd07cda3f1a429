package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// logInterval is the time for which lines of a cause are counted, and logBurst how
	// many of them are written in it: one where there were more in the interval before.
	logInterval = 30 * time.Second
	logBurst    = 5
	// maxLogCauses bounds the causes that are told apart; all others are one.
	maxLogCauses = 256
	// maxCauseBytes is how much of a cause tells it from others.
	maxCauseBytes = 200
)

// logLimiter keeps lines of one cause from filling a disk: whatever fails for every
// request, or for every partition, would be logged as often. What is left out is
// counted, and the last of it written with the number. Debug lines are not limited.
type logLimiter struct {
	mu     sync.Mutex
	causes map[string]*logCause
}

// logCause is what was logged for one cause lately.
type logCause struct {
	began   time.Time // the interval
	written int       // in it
	flood   bool      // something was left out in the interval before
	left    int       // lines left out in it
	last    func(more int)
}

func newLogLimiter() *logLimiter { return &logLimiter{causes: map[string]*logCause{}} }

// admit reports whether a line may be written now. If not, last will write it when the
// interval is over, with the number of others.
func (l *logLimiter) admit(key string, last func(more int)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	c := l.causes[key]
	if c == nil && len(l.causes) >= maxLogCauses {
		l.forget(now)
	}
	if c == nil && len(l.causes) >= maxLogCauses {
		key = ""
		c = l.causes[key]
	}
	if c == nil {
		c = &logCause{began: now}
		l.causes[key] = c
	}
	if c.left == 0 && now.Sub(c.began) >= logInterval {
		*c = logCause{began: now}
	}
	if c.left == 0 && (c.written == 0 || c.written < logBurst && !c.flood) {
		c.written++
		return true
	}
	if c.left == 0 {
		time.AfterFunc(max(0, c.began.Add(logInterval).Sub(now)), func() { l.summarize(c) })
	}
	c.left++
	c.last = last
	return false
}

// summarize ends the interval of a cause of which lines were left out.
func (l *logLimiter) summarize(c *logCause) {
	l.mu.Lock()
	left, last := c.left, c.last
	*c = logCause{began: time.Now(), written: 1, flood: true}
	l.mu.Unlock()
	if left > 0 {
		last(left - 1)
	}
}

// flush writes what was left out so far.
func (l *logLimiter) flush() {
	l.mu.Lock()
	var all []*logCause
	for _, c := range l.causes {
		if c.left > 0 {
			all = append(all, c)
		}
	}
	l.mu.Unlock()
	for _, c := range all {
		l.summarize(c)
	}
}

// forget drops causes of which nothing was logged lately; l.mu is held.
func (l *logLimiter) forget(now time.Time) {
	for key, c := range l.causes {
		if c.left == 0 && now.Sub(c.began) >= logInterval {
			delete(l.causes, key)
		}
	}
}

// limited is a handler whose lines a logLimiter lets pass.
type limited struct {
	slog.Handler
	limiter *logLimiter
	name    string // of the package
}

// Handle writes the line, now or later, or counts it.
func (h limited) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo {
		return h.Handler.Handle(ctx, r)
	}
	kept := r.Clone()
	later := func(more int) {
		if more > 0 {
			kept.Message += fmt.Sprintf(" (and %d more like it)", more)
		}
		_ = h.Handler.Handle(ctx, kept) // as for other lines, nobody can be told
	}
	if !h.limiter.admit(h.name+" "+r.Level.String()+" "+r.Message+causeIn(r), later) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the limit.
func (h limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "package" {
			h.name = a.Value.String()
		}
	}
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup keeps the limit.
func (h limited) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}

// causeIn is what in a line's attributes says why, without what differs from one
// instance to the next: numbers, and what stands in quotes.
func causeIn(r slog.Record) string {
	var out strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "cause", "error", "code", "reason", "panic":
			out.WriteByte(' ')
			out.WriteString(withoutInstance(a.Value.String()))
		}
		return true
	})
	return out.String()
}

func withoutInstance(text string) string {
	var out strings.Builder
	quoted := false
	for i := 0; i < len(text) && out.Len() < maxCauseBytes; i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case !quoted && (c < '0' || c > '9'):
			out.WriteByte(c)
		}
	}
	return out.String()
}

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
	// maxLogCauses bounds the causes that are told apart; beyond it lines are told apart
	// by their messages, of which there are as many at most, and all others are one.
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
	rest   map[string]*logCause // by message, of lines whose causes are too many
}

// logKeys tell the lines of a cause from others.
type logKeys struct {
	cause   string // what failed, and why
	message string // what failed: text of the program
	once    bool   // the cause names an instance: one line tells
}

// logCause is what was logged for one cause lately.
type logCause struct {
	began   time.Time // the interval
	written int       // in it
	flood   bool      // something was left out in the interval before
	left    int       // lines left out in it
	last    func(more int)
}

func newLogLimiter() *logLimiter {
	return &logLimiter{causes: map[string]*logCause{}, rest: map[string]*logCause{}}
}

// admit reports whether a line may be written now. If not, last will write it when the
// interval is over, with the number of others.
func (l *logLimiter) admit(keys logKeys, last func(more int)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	burst := logBurst
	c := find(l.causes, keys.cause, now)
	switch {
	case c == nil:
		if c = find(l.rest, keys.message, now); c == nil {
			c = l.rest[""]
		}
		if c == nil {
			c = &logCause{began: now}
			l.rest[""] = c
		}
	case keys.once:
		burst = 1
	}
	if c.left == 0 && now.Sub(c.began) >= logInterval {
		*c = logCause{began: now}
	}
	if c.left == 0 && (c.written == 0 || c.written < burst && !c.flood) {
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
	for _, causes := range []map[string]*logCause{l.causes, l.rest} {
		for _, c := range causes {
			if c.left > 0 {
				all = append(all, c)
			}
		}
	}
	l.mu.Unlock()
	for _, c := range all {
		l.summarize(c)
	}
}

// find returns the cause of a key, and adds it if it is new. It returns nil where there
// are too many of which something was logged lately: the others are forgotten.
func find(causes map[string]*logCause, key string, now time.Time) *logCause {
	if c := causes[key]; c != nil {
		return c
	}
	if len(causes) >= maxLogCauses {
		for key, c := range causes {
			if c.left == 0 && now.Sub(c.began) >= logInterval {
				delete(causes, key)
			}
		}
	}
	if len(causes) >= maxLogCauses {
		return nil
	}
	c := &logCause{began: now}
	causes[key] = c
	return c
}

// limited is a handler whose lines a logLimiter lets pass.
type limited struct {
	slog.Handler
	limiter  *logLimiter
	name     string // of the package
	instance string // of what all of its lines are: a topic and partition
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
	message := h.name + " " + r.Level.String() + " " + r.Message
	keys := logKeys{cause: message + causeIn(r), message: message}
	if instance := h.instance + instanceIn(r); instance != "" && r.Level >= slog.LevelWarn {
		keys.cause, keys.once = keys.cause+instance, true
	}
	if !h.limiter.admit(keys, later) {
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
		h.instance += instanceOf(a)
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

// instanceIn is the topic and partition that a line is about, so that each one that is
// damaged is named.
func instanceIn(r slog.Record) (out string) {
	r.Attrs(func(a slog.Attr) bool {
		out += instanceOf(a)
		return true
	})
	return out
}

func instanceOf(a slog.Attr) string {
	if a.Key != "topic" && a.Key != "partition" {
		return ""
	}
	return " " + a.Key + "=" + a.Value.String()
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

package cli

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"ottla/config"
)

// logs makes the loggers of a running broker. All of them write whole lines to
// the same writer.
type logs struct {
	c        config.Log
	handler  slog.Handler // accepts every level; levelled filters
	limiter  *logLimiter  // of lines of one cause
	requests *slog.Logger // nil unless requests are logged
	queue    *lineQueue   // of the lines for requests
}

// newLogs returns loggers that write to w, which may be a terminal. The settings
// must be valid, and close must be called.
func newLogs(w io.Writer, terminal bool, c config.Log) *logs {
	l := &logs{c: c, limiter: newLogLimiter()}
	w = &lockedWriter{w: w}
	plain := newHandler(w, terminal, c.Format)
	l.handler = limited{Handler: plain, limiter: l.limiter}
	if c.Requests {
		l.queue = newLineQueue(w, maxQueued, l.on(plain, "cli")) // each of its lines has a number that counts
		l.requests = slog.New(newHandler(l.queue, terminal, c.Format))
	}
	return l
}

func newHandler(w io.Writer, terminal bool, format string) slog.Handler {
	opts := &slog.HandlerOptions{Level: slog.LevelDebug}
	if format == "json" || format == "auto" && !terminal {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}

// logger returns the logger of a package, at the package's level.
func (l *logs) logger(name string) *slog.Logger { return l.on(l.handler, name) }

func (l *logs) on(handler slog.Handler, name string) *slog.Logger {
	text := l.c.Level
	if own, ok := l.c.Levels[name]; ok {
		text = own
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		level = slog.LevelInfo
	}
	return slog.New(levelled{handler, level}).With("package", name)
}

// close writes what is still queued or was left out.
func (l *logs) close() {
	if l.queue != nil && !l.queue.close() {
		return // nobody reads
	}
	l.limiter.flush()
}

// levelled is a handler with a level of its own.
type levelled struct {
	slog.Handler
	level slog.Level
}

// Enabled reports whether the level is high enough.
func (h levelled) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// WithAttrs keeps the level.
func (h levelled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelled{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup keeps the level.
func (h levelled) WithGroup(name string) slog.Handler {
	return levelled{h.Handler.WithGroup(name), h.level}
}

// lockedWriter lets several handlers share a writer.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

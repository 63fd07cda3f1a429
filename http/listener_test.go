package http

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripted is a listener whose Accept gives what the script says.
type scripted struct {
	net.Listener
	script []any // error or net.Conn
}

func (l *scripted) Accept() (net.Conn, error) {
	next := l.script[0]
	l.script = l.script[1:]
	if err, ok := next.(error); ok {
		return nil, err
	}
	return next.(net.Conn), nil
}

func TestListenerOutlivesRunningOutOfDescriptors(t *testing.T) {
	server, client := net.Pipe()
	defer client.Close()
	exhausted := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	final := errors.New("closed for good")
	ln := newBoundedListener(&scripted{script: []any{exhausted, exhausted, server, final}}, 1, slog.New(slog.DiscardHandler))
	c, err := ln.accept()
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Empty(t, ln.open, "a closed connection makes room")
	_, err = ln.accept()
	assert.ErrorIs(t, err, final)
}

func TestBudget(t *testing.T) {
	b := newBudget(10)
	assert.True(t, b.take(10))
	assert.False(t, b.take(1))
	b.give(4)
	assert.False(t, b.take(5))
	assert.True(t, b.take(4))
}

// A signal may come before the server has begun to serve: then it never does.
func TestShutdownBeforeServe(t *testing.T) {
	for _, when := range []string{"before", "during"} {
		t.Run(when, func(t *testing.T) {
			s := New(newFake(), Options{Logger: slog.New(slog.DiscardHandler)})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer ln.Close()
			if when == "before" {
				require.NoError(t, s.Shutdown(t.Context()))
			}
			served := make(chan error, 1)
			go func() { served <- s.Serve(ln) }()
			if when == "during" {
				require.NoError(t, s.Shutdown(t.Context()))
			}
			select {
			case err := <-served:
				assert.NoError(t, err)
			case <-time.After(patience):
				assert.Fail(t, "it serves although it was shut down")
			}
		})
	}
}

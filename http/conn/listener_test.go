package conn

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"

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
	ln := NewListener(&scripted{script: []any{exhausted, exhausted, server, final}}, 1, nil, slog.New(slog.DiscardHandler))
	c, err := ln.Accept()
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Empty(t, ln.open, "a closed connection makes room")
	_, err = ln.Accept()
	assert.ErrorIs(t, err, final)
}

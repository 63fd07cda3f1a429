package conn

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// countingConn counts what reaches the runtime's timers.
type countingConn struct {
	net.Conn
	reads, writes int
}

func (c *countingConn) SetReadDeadline(t time.Time) error {
	c.reads++
	return c.Conn.SetReadDeadline(t)
}

func (c *countingConn) SetWriteDeadline(t time.Time) error {
	c.writes++
	return c.Conn.SetWriteDeadline(t)
}

func lazyPair(t *testing.T) (*Conn, *countingConn, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
	counting := &countingConn{Conn: here}
	return &Conn{Conn: counting}, counting, there
}

func TestLazyDeadlineIsArmedOnce(t *testing.T) {
	c, counting, _ := lazyPair(t)
	now := time.Now()
	for i := range 100 { // as the server does for every request
		at := now.Add(time.Duration(i) * time.Millisecond)
		require.NoError(t, c.SetReadDeadline(at.Add(60*time.Second))) // idle
		require.NoError(t, c.SetReadDeadline(at.Add(30*time.Second))) // request
		require.NoError(t, c.SetWriteDeadline(at.Add(30*time.Second)))
	}
	assert.Equal(t, 2, counting.reads)
	assert.Equal(t, 1, counting.writes)
}

func TestLazyDeadlineFires(t *testing.T) {
	tests := map[string]func(c *Conn, now time.Time){
		"the only one": func(c *Conn, now time.Time) { _ = c.SetDeadline(now.Add(20 * time.Millisecond)) },
		"in the past":  func(c *Conn, now time.Time) { _ = c.SetDeadline(now.Add(-time.Second)) },
		"moved to earlier": func(c *Conn, now time.Time) {
			_ = c.SetDeadline(now.Add(time.Hour))
			_ = c.SetDeadline(now.Add(time.Millisecond))
		},
		"moved to later": func(c *Conn, now time.Time) {
			_ = c.SetDeadline(now)
			_ = c.SetDeadline(now.Add(30 * time.Millisecond))
		},
		"none in between": func(c *Conn, now time.Time) {
			_ = c.SetDeadline(now)
			_ = c.SetDeadline(time.Time{})
			_ = c.SetDeadline(now.Add(9 * time.Millisecond))
		},
		"later and later": func(c *Conn, now time.Time) {
			for i := range 30 {
				_ = c.SetDeadline(now.Add(time.Duration(i) * time.Millisecond))
			}
		},
		"earlier than armed": func(c *Conn, now time.Time) { _ = c.SetDeadline(now.Add(time.Minute)); _ = c.SetDeadline(now) },
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			c, _, _ := lazyPair(t)
			set(c, time.Now())
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.False(t, time.Now().Before(c.reading.wanted), "too early")
			_, err = c.Write([]byte("x"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.False(t, time.Now().Before(c.writing.wanted), "too early")
		})
	}
}

// An armed deadline that fires while a later one is wanted interrupts nothing,
// and half a write is not written again.
func TestLazyDeadlineGoesOn(t *testing.T) {
	c, counting, there := lazyPair(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Millisecond)))
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))

	text := "0123456789"
	go func() {
		half := make([]byte, 4)
		_, _ = io.ReadFull(there, half)
		_ = counting.Conn.SetWriteDeadline(time.Now().Add(-time.Second)) // fires in the middle
		rest := make([]byte, 6)
		_, _ = io.ReadFull(there, rest)
		_, _ = there.Write(append(half, rest...))
	}()
	n, err := c.Write([]byte(text))
	require.NoError(t, err)
	assert.Equal(t, len(text), n)
	got := make([]byte, len(text))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, text, string(got))

	require.NoError(t, there.Close())
	_, err = c.Read(got)
	assert.ErrorIs(t, err, io.EOF)
}

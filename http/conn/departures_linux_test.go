package conn

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What watches a connection ends with it.
func TestWatchesEndWithTheirConnections(t *testing.T) {
	s := serve(t, plain)
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	_, err = fmt.Fprintf(c, get, "/wait")
	require.NoError(t, err)
	resume := <-s.waits
	for _, session := range s.sessions() {
		_, forget := session.c.Watch(func() {})
		forget()
	}
	resume()
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { open, _ := s.Connections(); return open == 0 }, patience, time.Millisecond)
	d := &s.ln.Load().departures
	d.mu.Lock()
	defer d.mu.Unlock()
	assert.Empty(t, d.left)
}

package http

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// elsewhere is a connection that seems to come from another address.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000} }

func (c elsewhere) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(*net.TCPConn).SyscallConn()
}

// fromElsewhere is a listener whose first connections come from another address.
type fromElsewhere struct {
	smallBuffers
	left *int
}

func (l fromElsewhere) Accept() (net.Conn, error) {
	c, err := l.smallBuffers.Accept()
	if err == nil && *l.left > 0 {
		*l.left--
		c = elsewhere{c}
	}
	return c, err
}

const largeRead = "/topic/large/partitions/0/records?offset=0&max_records=10000&max_bytes=10000000"

// However many answers one address asks for and does not read, others get theirs
// whole and at once.
func TestOneAddressDoesNotTakeTheMemoryOfOthers(t *testing.T) {
	const limit, slow = 64 << 20, 40
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	left := slow
	h := startOn(t, Options{MaxResponseBytes: limit, StallTimeout: time.Hour}, tcpListener{fromElsewhere{smallBuffers{ln}, &left}})
	h.fill("large", 10_000, 1000)
	for range slow {
		h.slowReader(largeRead)
	}
	assert.Less(t, h.s.answers.Used(), int64(limit*5/8), "half, and what rendering adds")
	began := time.Now()
	for range 20 {
		got := wantOK(t, h.do("GET", strings.Replace(largeRead, "10000000", "1000000", 1), ""), 200)
		assert.Greater(t, len(got["records"].([]any)), 700, "a megabyte of records")
	}
	assert.Less(t, time.Since(began), patience)
}

// A client that takes nothing of its answer is disconnected while memory is scarce,
// and its room is there again; one that reads slowly keeps its answer.
func TestStalledClientsAreDisconnected(t *testing.T) {
	h := startSmallBuffers(t, Options{MaxResponseBytes: 16 << 20, MaxClientBytes: 16 << 20, StallTimeout: time.Second, WriteTimeout: time.Hour})
	h.fill("large", 10_000, 1000)
	slow := h.slowReader(largeRead)
	read := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				_, err := io.Copy(io.Discard, io.LimitReader(slow, 64<<10))
				read <- err
				return
			case <-tick.C:
				if _, err := slow.Read(make([]byte, 1000)); err != nil {
					read <- err
					return
				}
			}
		}
	}()
	var stalled []net.Conn
	for range 40 {
		stalled = append(stalled, h.slowReader(largeRead))
	}
	require.Eventually(t, func() bool {
		n, _ := h.s.conns.NotTaken()
		return n > 0 && h.s.answers.Used() <= 8<<20
	}, patience, 10*time.Millisecond)
	close(stop)
	require.NoError(t, <-read, "it was slow, but took something")
	reset := 0
	for _, c := range stalled {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		// More than the socket holds, after which it fails if it was reset. What was not, and
		// had a small answer, ends.
		_ = c.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, io.LimitReader(c, 64<<10)); errors.Is(err, syscall.ECONNRESET) {
			reset++
		}
		require.NoError(t, c.Close())
	}
	assert.Positive(t, reset)
	assert.Regexp(t, `ottla_http_answers_not_taken_total\{cause="stalled"\} [1-9]`, h.do("GET", "/metrics", "").body)
}

// What one client may hold follows what all may, unless it is set.
func TestHalfOfTheResponsesForOneClient(t *testing.T) {
	h := startSmallBuffers(t, Options{MaxResponseBytes: 48 << 20})
	assert.Contains(t, h.do("GET", "/metrics", "").body, "\nottla_http_client_response_bytes_limit 2.5165824e+07\n")
}

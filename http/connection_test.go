package http

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// Headers up to the limit are accepted, however they are cut into packets, and
// what follows them on the connection is not lost.
func TestLargeHeaders(t *testing.T) {
	h := startTCP(t, Options{})
	for _, size := range []int{3 << 10, 4 << 10, 5 << 10, 31 << 10} {
		for _, pieces := range []int{1, 7} {
			conn, err := h.ln.Dial()
			require.NoError(t, err)
			r := bufio.NewReader(conn)
			request := "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Filler: " + strings.Repeat("x", size) + "\r\n\r\n" +
				"POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n{\"topic\":\"t\"}" +
				"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
			for i := range pieces {
				_, err = conn.Write([]byte(request[i*len(request)/pieces : (i+1)*len(request)/pieces]))
				require.NoError(t, err)
			}
			for range 3 {
				assert.Equal(t, 200, readAnswer(t, r).status)
			}
			require.NoError(t, conn.Close())
		}
	}
}

func TestLargeHeadersArePaidFor(t *testing.T) {
	h := startTCP(t, Options{MaxInflightBytes: 40 << 10})
	large := "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Filler: " + strings.Repeat("x", 8<<10) + "\r\n\r\n"
	entered, leave := make(chan struct{}), make(chan struct{})
	h.b.produce = func([]*protocol.ProduceRequest, time.Time) { close(entered); <-leave }
	first := make(chan answer, 1)
	go func() {
		first <- h.raw("POST /events HTTP/1.1\r\nHost: a\r\nX-Filler: " + strings.Repeat("x", 8<<10) + "\r\nContent-Length: 13\r\n\r\n{\"topic\":\"t\"}")
	}()
	<-entered
	wantError(t, h.raw(large), 429, "too_many_requests")
	close(leave)
	assert.Equal(t, 200, (<-first).status)
	assert.Equal(t, 200, h.raw(large).status)
}

// A poll that waited is answered in full, although its request is gone by then.
func TestAPollThatWaited(t *testing.T) {
	h := startTCP(t, Options{})
	h.b.add("t", 1)
	h.b.parked = make(chan struct{}, 1)
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /events?topic=t&timeout_ms=30000 HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n"))
	require.NoError(t, err)
	<-h.b.parked
	wantOK(t, h.do("POST", "/events", `{"topic":"t","value":1}`), 200)
	a := readAnswer(t, bufio.NewReader(conn))
	assert.Equal(t, 200, a.status)
	assert.Contains(t, a.body, `"value":1`)
	assert.Equal(t, "mine", a.header.Get(requestIDHeader))
}

// What is pipelined behind a poll is answered after it, and answers before it
// do not wait for it.
func TestPipelinedAroundAPoll(t *testing.T) {
	h := startTCP(t, Options{})
	h.b.add("t", 1)
	h.b.parked = make(chan struct{}, 1)
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	one := "GET %s HTTP/1.1\r\nHost: a\r\nX-Request-Id: r%d\r\n\r\n"
	_, err = fmt.Fprintf(conn, one+one+one, "/healthz", 0, "/events?topic=t&timeout_ms=30000", 1, "/healthz", 2)
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	assert.Equal(t, "r0", readAnswer(t, r).header.Get(requestIDHeader))
	<-h.b.parked
	wantOK(t, h.do("POST", "/events", `{"topic":"t","value":1}`), 200)
	for i := 1; i <= 2; i++ {
		assert.Equal(t, fmt.Sprintf("r%d", i), readAnswer(t, r).header.Get(requestIDHeader))
	}
}

// A client that leaves ends its poll at once, and not when Gone is asked next.
func TestDeparturesAreTold(t *testing.T) {
	h := startTCP(t, Options{})
	told := make(chan bool, 1)
	h.b.poll = func(req *protocol.PollRequest, _ <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		if req.Left == nil {
			told <- false // departures cannot be told on this system
			return &protocol.PollReply{}, nil
		}
		select {
		case <-req.Left:
			told <- req.Gone()
		case <-time.After(patience):
			t.Error("the departure was not told")
			told <- true
		}
		return &protocol.PollReply{}, nil
	}
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET /events?topic=t&timeout_ms=30000 HTTP/1.1\r\nHost: a\r\n\r\n"))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	if !<-told {
		t.Skip("departures are not told on this system")
	}
	require.NoError(t, conn.Close())
}

// A connection is watched as long as it is open: its second request that waits is
// also told of a client that leaves, or that left while the first was answered.
func TestDeparturesAreToldAgain(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("departures are not told on this system")
	}
	const request = "GET /topic/t/partitions/0/records?timeout_ms=30000&offset=%d HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, leave := range map[string]func(h *harness, c *net.TCPConn) error{
		"while the second waits": func(h *harness, c *net.TCPConn) error {
			_, err := fmt.Fprintf(c, request, 1)
			<-h.b.parked
			return errors.Join(err, c.CloseWrite())
		},
		"before the second": func(_ *harness, c *net.TCPConn) error {
			_, err := fmt.Fprintf(c, request, 1) // the request is there, so the server reads it
			return errors.Join(err, c.CloseWrite())
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := startTCP(t, Options{})
			h.b.add("t", 1)
			h.b.parked, h.b.departed = make(chan struct{}, 2), make(chan struct{}, 2)
			c, err := h.ln.Dial()
			require.NoError(t, err)
			defer c.Close()
			_, err = fmt.Fprintf(c, request, 0)
			require.NoError(t, err)
			<-h.b.parked
			wantOK(t, h.do("POST", "/events", `{"topic":"t","value":1}`), 200)
			r := bufio.NewReader(c)
			assert.Equal(t, 200, readAnswer(t, r).status)
			require.NoError(t, leave(h, c.(*net.TCPConn)))
			select {
			case <-h.b.departed:
			case <-time.After(patience):
				t.Fatal("the departure was not told")
			}
		})
	}
}

// A read without a group is told of departures as well.
func TestDeparturesFromPartitionReads(t *testing.T) {
	h := startTCP(t, Options{})
	if runtime.GOOS != "linux" {
		t.Skip("departures are not told on this system")
	}
	h.b.add("t", 1)
	h.b.parked, h.b.departed = make(chan struct{}, 1), make(chan struct{}, 1)
	conn, err := h.ln.Dial()
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET /topic/t/partitions/0/records?timeout_ms=30000 HTTP/1.1\r\nHost: a\r\n\r\n"))
	require.NoError(t, err)
	<-h.b.parked
	require.NoError(t, conn.Close())
	select {
	case <-h.b.departed:
	case <-time.After(patience):
		t.Fatal("the departure was not told")
	}
}

// Targets and hosts that the parser refuses are refused.
func TestBadTargets(t *testing.T) {
	h := start(t, Options{})
	for _, head := range []string{
		"GET /a\x7fb HTTP/1.1\r\nHost: a", "GET / HTTP/1.1\r\nHost: [::1", "GET 1http://a/ HTTP/1.1\r\nHost: b",
		"GET / HTTP/1.1\r\nHost: a:x",
	} {
		a := h.raw(head + "\r\n\r\n")
		assert.Equal(t, 400, a.status, head)
	}
	for _, host := range []string{"a:1", "127.0.0.1:8080", "[::1]:80", "a.b-c", "a:"} {
		assert.Equal(t, 200, h.raw("GET /healthz HTTP/1.1\r\nHost: "+host+"\r\n\r\n").status, host)
	}
}

// An empty part of the path is not a name, so no route has such a path.
func TestEmptyPartsOfThePath(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for target, method := range map[string]string{
		"/cluster//brokers//stop":              "POST",
		"/cluster//brokers/1/start":            "POST",
		"/topic//partitions/0/records":         "GET",
		"/topic/t/partitions//records":         "GET",
		"/groups//seek":                        "POST",
		"/groups/g/members/":                   "DELETE",
		"/cluster/":                            "GET",
		"/topic//partitions//records?offset=1": "GET",
	} {
		wantError(t, h.do(method, target, ""), 404, "route_not_found")
	}
	wantOK(t, h.do("GET", "/topic/t/partitions/0/records?offset=0", ""), 200)
	wantError(t, h.do("GET", "/topic/t/partitions/0/records?cluster=//", ""), 422, "invalid_name")
}

func TestAMissingHostIsNamed(t *testing.T) {
	h := start(t, Options{})
	for _, head := range []string{"GET /healthz HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nHost:\r\n", "GET http://a/healthz HTTP/1.1\r\n", healthz[:len(healthz)-2] + "host: b\r\n"} {
		a := h.raw(head + "\r\n")
		wantError(t, a, 400, "malformed")
		assert.Contains(t, a.body, "Host", head)
	}
	assert.Equal(t, 200, h.raw("GET /healthz HTTP/1.0\r\n\r\n").status)
}

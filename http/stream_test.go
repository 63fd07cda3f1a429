package http

import (
	"bufio"
	"context"
	"fmt"
	"io"
	nethttp "net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// follow opens a stream of polls and returns its response and a reader of lines.
func (h *harness) follow(target, accept string, headers ...string) (*nethttp.Response, func() string) {
	h.t.Helper()
	resp, next := h.followRaw(target, accept, headers...)
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		require.Equal(h.t, ": stream\n", next(), "something at once, for proxies that wait for the first byte")
		require.Equal(h.t, "retry: 1000\n", next(), "before the share is given to others")
		require.Equal(h.t, "\n", next())
		require.Equal(h.t, "no", resp.Header.Get("X-Accel-Buffering"))
	}
	return resp, next
}

// followRaw opens a stream and returns its response and a reader of lines.
func (h *harness) followRaw(target, accept string, headers ...string) (*nethttp.Response, func() string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := nethttp.NewRequestWithContext(ctx, "GET", "http://ottla"+target, nil)
	require.NoError(h.t, err)
	req.Header.Set("Accept", accept)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := h.http.Do(req)
	require.NoError(h.t, err)
	h.t.Cleanup(func() {
		cancel()
		resp.Body.Close()
	})
	lines, body := bufio.NewReader(resp.Body), resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{lines, body} // for tests that read on without next
	next := func() string {
		h.t.Helper()
		line, err := lines.ReadString('\n')
		require.NoError(h.t, err)
		return line
	}
	return resp, next
}

func (h *harness) send(value int) {
	h.t.Helper()
	wantOK(h.t, h.do("POST", "/events", fmt.Sprintf(`{"topic":"t","partition":0,"value":%d,"timestamp":1}`, value)), 200)
}

func event(i int) string {
	return fmt.Sprintf(`{"topic":"t","partition":0,"offset":%d,"timestamp":1,"key":null,"value":%d,"headers":{}`, i, i)
}

func TestServerSentEvents(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	h.send(0)
	resp, line := h.follow("/events?topic=t", "text/event-stream")
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	assert.Equal(t, "77", resp.Header.Get("Ottla-Consumer-Id"))
	assert.NotEmpty(t, resp.Header.Get(requestIDHeader))
	for i := range 3 {
		assert.Equal(t, "data: "+event(i)+"}\n", line())
		assert.Equal(t, fmt.Sprintf("id: %d\n", i+1), line())
		assert.Equal(t, "\n", line())
		h.send(i + 1)
	}
	require.NoError(t, h.s.Shutdown(context.Background()))
	assert.Empty(t, h.b.left, "a client that has an id may come back with it")
}

func TestAStreamThatBroughtNothingLeavesItsGroup(t *testing.T) {
	h := start(t, Options{Heartbeat: time.Millisecond})
	h.b.add("t", 1)
	_, line := h.follow("/events?topic=t", "text/event-stream")
	assert.Equal(t, ": alive\n", line())
	require.NoError(t, h.s.Shutdown(context.Background()))
	assert.Equal(t, protocol.ConsumerID(77), <-h.b.left)
}

func TestStreamResumesAsTheSameConsumer(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	h.send(0)
	h.send(1)
	_, line := h.follow("/events?topic=t&auto_commit=false", "text/event-stream", "Last-Event-ID", "1")
	assert.Equal(t, "data: "+event(1)+"}\n", line())
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	assert.True(t, h.b.polls[0].Resume, "the cursor says who it is")
	assert.Equal(t, "1", h.b.polls[0].After)
}

func TestNDJSONStream(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	h.send(0)
	h.send(1)
	resp, line := h.follow("/events?topic=t&consumer_id=5&auto_commit=false", "application/x-ndjson")
	assert.Equal(t, "application/x-ndjson", resp.Header.Get("Content-Type"))
	assert.Equal(t, "5", resp.Header.Get("Ottla-Consumer-Id"))
	assert.Equal(t, event(0)+`,"cursor":"1"}`+"\n", line())
	assert.Equal(t, event(1)+`,"cursor":"2"}`+"\n", line())
	h.send(2)
	assert.Equal(t, event(2)+`,"cursor":"3"}`+"\n", line())
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	assert.Equal(t, "2", h.b.polls[1].After, "reads on by cursor")
	assert.False(t, h.b.polls[1].AutoCommit)
	assert.Equal(t, protocol.ConsumerID(5), h.b.polls[1].ConsumerID)
}

func TestStreamResumesAtLastEventID(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for i := range 3 {
		h.send(i)
	}
	_, line := h.follow("/events?topic=t&consumer_id=5", "text/event-stream", "Last-Event-ID", "2")
	assert.Equal(t, "data: "+event(2)+"}\n", line())
	h.send(3)
	assert.Equal(t, "id: 3\n", line())
	assert.Equal(t, "\n", line())
	assert.Equal(t, "data: "+event(3)+"}\n", line())
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	assert.Equal(t, "2", h.b.polls[0].After)
	assert.True(t, h.b.polls[0].Continue, "a cursor of an older generation is no error: a browser would not come back")
	assert.Equal(t, "3", h.b.polls[1].After, "the committed offset may be far ahead")
	assert.True(t, h.b.polls[1].Continue, "within the stream a rebalance does no harm")
	assert.True(t, h.b.polls[1].AutoCommit)
}

func TestStreamErrors(t *testing.T) {
	h := start(t, Options{})
	gone := protocol.Errorf(protocol.CodeTopicNotFound, "no such topic")
	h.b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) { return nil, gone }
	wantError(t, h.do("GET", "/events?topic=t", "", "Accept", "text/event-stream"), 404, "topic_not_found")
	wantError(t, h.raw("GET /events?topic=t HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n"), 400, "malformed")

	for accept, want := range map[string]string{
		"text/event-stream":    "event: rebalance\ndata: {\"generation\":2}\nid: 2\n\nevent: problem\ndata: {\"error_code\":40401,",
		"application/x-ndjson": `{"error":{"error_code":40401,`,
	} {
		t.Run(accept, func(t *testing.T) {
			n := 0
			h.b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
				if n++; n <= 2 {
					return &protocol.PollReply{ConsumerID: 5, Group: "g", Generation: protocol.Generation(n), Cursor: fmt.Sprint(n)}, nil
				}
				return nil, gone
			}
			resp, _ := h.follow("/events?topic=t&auto_commit=false&consumer_id=5", accept)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(text), want), "%s", text)
		})
	}
}

func TestIdleEventStreamShowsSignsOfLife(t *testing.T) {
	h := start(t, Options{Heartbeat: time.Millisecond})
	h.b.add("t", 1)
	_, line := h.follow("/events?topic=t&consumer_id=5", "text/event-stream")
	assert.Equal(t, ": alive\n", line())
}

func TestStreamOutlivesTheWriteTimeout(t *testing.T) {
	h := start(t, Options{WriteTimeout: 100 * time.Millisecond, Heartbeat: 150 * time.Millisecond})
	h.b.add("t", 1)
	_, line := h.follow("/events?topic=t&consumer_id=5", "text/event-stream")
	for range 3 {
		assert.Equal(t, ": alive\n", line())
		assert.Equal(t, "\n", line())
	}
}

func TestStreamsThatAreNotAcceptable(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	for _, accept := range []string{"text/event-stream;q=0", "*/*, application/x-ndjson; q=0.0", "text/html", "text/event-stream, application/json"} {
		a := h.do("GET", "/events?topic=t&timeout_ms=0", "", "Accept", accept)
		assert.Equal(t, "application/json", a.header.Get("Content-Type"), accept)
	}
}

func TestAVanishedClientEndsItsStream(t *testing.T) {
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		t.Run(accept, func(t *testing.T) {
			h := startTCP(t, Options{Heartbeat: 5 * time.Millisecond})
			h.b.add("t", 1)
			ctx, cancel := context.WithCancel(context.Background())
			req, err := nethttp.NewRequestWithContext(ctx, "GET", "http://ottla/events?topic=t", nil)
			require.NoError(t, err)
			req.Header.Set("Accept", accept)
			resp, err := h.http.Do(req)
			require.NoError(t, err)
			cancel()
			_ = resp.Body.Close()
			assert.Equal(t, protocol.ConsumerID(77), <-h.b.left)
		})
	}
}

// A client can resume without skipping records even if the backend has no cursor
// for each: a record gets the cursor of the poll before.
func TestStreamWithoutRecordCursors(t *testing.T) {
	st := &stream{outlet: outlet{srv: instantServer(), kind: ndjsonStream}, generation: 1, cursor: "old"}
	rec := protocol.Record{Topic: "t", Key: []byte("-"), Value: []byte("1")}
	st.render(&protocol.PollReply{Generation: 1, Records: []protocol.Record{rec, rec}, Cursor: "new"})
	lines := strings.Split(string(st.buf), "\n")
	require.Len(t, lines, 3)
	assert.Contains(t, lines[0], `"cursor":"old"}`)
	assert.Contains(t, lines[1], `"cursor":"new"}`)
}

// A stream that is superseded does not poll on: it would end the newer stream of
// its consumer, which would do the same.
func TestAStreamEndsWhenItsConsumerPollsAnew(t *testing.T) {
	h := start(t, Options{})
	n := 0
	h.b.poll = func(*protocol.PollRequest, <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		n++
		return &protocol.PollReply{ConsumerID: 5, Group: "g", Generation: 1, Number: 3, Superseded: n == 3}, nil
	}
	resp, _ := h.follow("/events?topic=t", "application/x-ndjson")
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Empty(t, text)
	require.NoError(t, h.s.Shutdown(context.Background()))
	assert.Empty(t, h.b.left, "the newer one is a member")
	require.Len(t, h.b.polls, 3)
	assert.Zero(t, h.b.polls[0].Number)
	assert.EqualValues(t, 3, h.b.polls[1].Number)
	assert.EqualValues(t, 3, h.b.polls[2].Number)
}

// The group is told when the client of a stream leaves, so that its share does not wait
// for the whole session.
func TestAGroupLearnsOfAStreamsEnd(t *testing.T) {
	h := startTCP(t, Options{Heartbeat: 20 * time.Millisecond})
	h.b.add("t", 1)
	h.send(0)
	resp, line := h.follow("/events?topic=t&group=g&consumer_id=7", "text/event-stream")
	for range 3 {
		line()
	}
	require.NoError(t, resp.Body.Close())
	select {
	case text := <-h.b.ended:
		assert.Regexp(t, `^g 7 \d+$`, text)
	case <-time.After(patience):
		t.Fatal("it was not told")
	}
}

// A wait between two heartbeats sees by the connection that the client has left, and the
// group is told then, not with the next heartbeat, whose writing would fail.
func TestAStreamsEndIsNoticedBetweenHeartbeats(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere a connection does not show it")
	}
	h := startTCP(t, Options{Heartbeat: time.Hour})
	waits := make(chan struct{}, 1)
	h.b.poll = func(req *protocol.PollRequest, _ <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		if req.Timeout > 0 {
			select {
			case waits <- struct{}{}:
			default:
			}
			for until := time.Now().Add(patience); !req.Gone() && time.Now().Before(until); {
				<-time.After(time.Millisecond)
			}
		}
		return &protocol.PollReply{ConsumerID: 7, Group: "g", Generation: 1, TimedOut: true}, nil
	}
	resp, _ := h.follow("/events?topic=t&group=g&consumer_id=7&session_timeout_ms=60000", "text/event-stream")
	<-waits
	require.NoError(t, resp.Body.Close())
	select {
	case text := <-h.b.ended:
		assert.Regexp(t, `^g 7 \d+$`, text)
	case <-time.After(patience):
		t.Fatal("it was not told")
	}
}

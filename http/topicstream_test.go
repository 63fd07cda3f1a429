package http

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// followTopic opens a stream of a topic and returns what reads its lines, the first
// of which are checked.
func (h *harness) followTopic(target, accept, at string, headers ...string) (*nethttp.Response, func() string) {
	h.t.Helper()
	resp, next := h.followRaw(target, accept, headers...)
	require.Equal(h.t, 200, resp.StatusCode)
	require.Equal(h.t, "no", resp.Header.Get("X-Accel-Buffering"))
	require.Equal(h.t, "no-store", resp.Header.Get("Cache-Control"))
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		require.Equal(h.t, ": stream\n", next(), "something at once, for proxies that wait for the first byte")
		require.Equal(h.t, "id: "+at+"\n", next(), "who comes back before the first record goes on from here")
		require.Equal(h.t, "\n", next())
	}
	return resp, next
}

func TestTopicStreamOfEvents(t *testing.T) {
	for _, accept := range []string{"text/event-stream", "*/*", "application/json", "text/html"} {
		t.Run(accept, func(t *testing.T) {
			h := start(t, Options{})
			h.b.add("t", 1)
			h.send(0)
			resp, line := h.followTopic("/topic/t/stream", accept, "0")
			assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
			assert.Empty(t, resp.Header.Get("Ottla-Consumer-Id"), "nobody has joined anything")
			for i := range 3 {
				assert.Equal(t, "data: "+event(i)+"}\n", line())
				assert.Equal(t, fmt.Sprintf("id: %d\n", i+1), line())
				assert.Equal(t, "\n", line())
				h.send(i + 1)
			}
			assert.Empty(t, h.b.polls)
			assert.Equal(t, int64(1), h.s.parked.Used(), "it counts among the streams")
		})
	}
}

func TestTopicStreamOfLines(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	h.send(0)
	resp, line := h.followTopic("/topic/t/stream", "application/x-ndjson", "")
	assert.Equal(t, "application/x-ndjson", resp.Header.Get("Content-Type"))
	assert.Equal(t, event(0)+`,"cursor":"1"}`+"\n", line())
	h.send(1)
	assert.Equal(t, event(1)+`,"cursor":"2"}`+"\n", line())
}

// The address of an EventSource stays as it was: what the browser says last counts.
func TestTopicStreamGoesOnBehindTheLastID(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	h.send(0)
	h.send(1)
	_, line := h.followTopic("/topic/t/stream?from=latest&after=0", "text/event-stream", "1", "Last-Event-ID", "1")
	assert.Equal(t, "data: "+event(1)+"}\n", line())
	_, line = h.followTopic("/topic/t/stream?after=1", "text/event-stream", "1")
	assert.Equal(t, "data: "+event(1)+"}\n", line())
}

func TestTopicStreamTakesItsParameters(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 3)
	for _, query := range []string{
		"from=earliest", "from=latest", "from=1700000000000", "partition=2&offset=7", "partition=1&from=latest&key=%22a", "cluster=default&key=",
	} {
		h.followTopic("/topic/t/stream?"+query, "text/event-stream", "0")
	}
	got := h.b.readings
	require.Len(t, got, 6)
	assert.Equal(t, protocol.StartFrom{}, got[0].From)
	assert.True(t, got[1].From.Latest)
	assert.EqualValues(t, 1700000000000, *got[2].From.Timestamp)
	assert.Equal(t, 2, *got[3].Partition)
	assert.EqualValues(t, 7, *got[3].Offset)
	assert.Equal(t, `"a`, string(got[4].Key))
	assert.Nil(t, got[0].Key, "no key is another thing than an empty one")
	assert.NotNil(t, got[5].Key)
	for query, want := range map[string]string{
		"offset=1":                         "invalid_parameter",
		"offset=1&partition=0&from=latest": "invalid_parameter",
		"partition=-1":                     "invalid_parameter",
		"partition=x":                      "invalid_parameter",
		"from=yesterday":                   "invalid_parameter",
		"after=":                           "invalid_cursor",
		"after=nonsense":                   "invalid_cursor",
		"group=g":                          "unknown_parameter",
	} {
		wantError(t, h.do("GET", "/topic/t/stream?"+query, ""), 400, want)
	}
	wantError(t, h.do("GET", "/topic/unknown/stream", ""), 404, "topic_not_found")
	wantError(t, h.raw("GET /topic/t/stream HTTP/1.0\r\n\r\n"), 400, "malformed")
}

func TestHeadOfATopicStreamEnds(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	a := h.do("HEAD", "/topic/t/stream", "")
	assert.Equal(t, 200, a.status)
	assert.Equal(t, "text/event-stream", a.header.Get("Content-Type"))
	assert.Zero(t, h.s.parked.Used())
}

func TestIdleTopicStreamShowsSignsOfLife(t *testing.T) {
	h := start(t, Options{Heartbeat: 10 * time.Millisecond, WriteTimeout: 200 * time.Millisecond})
	h.b.add("t", 1)
	_, line := h.followTopic("/topic/t/stream", "text/event-stream", "0")
	for range 30 { // for longer than the write timeout
		assert.Equal(t, ": alive\n", line())
		assert.Equal(t, "\n", line())
	}
}

func TestTopicStreamTellsOfGapsAndOfItsEnd(t *testing.T) {
	gaps := []protocol.Gap{{Topic: "t", Partition: 0, Asked: 1, Earliest: 5, Latest: 9}, {Topic: "t", Partition: 1, Asked: 2, Earliest: 3, Latest: 3}}
	for accept, want := range map[string]string{
		"text/event-stream": ": stream\nid: 0\n\n" +
			`event: gap` + "\n" + `data: {"topic":"t","partition":0,"asked":1,"earliest":5,"latest":9}` + "\n\n" +
			`event: gap` + "\n" + `data: {"topic":"t","partition":1,"asked":2,"earliest":3,"latest":3}` + "\nid: 0\n\n" +
			`event: problem` + "\n" + `data: {"error_code":40401,`,
		"application/x-ndjson": `{"gap":{"topic":"t","partition":0,"asked":1,"earliest":5,"latest":9}}` + "\n" +
			`{"gap":{"topic":"t","partition":1,"asked":2,"earliest":3,"latest":3},"cursor":"0"}` + "\n" +
			`{"error":{"error_code":40401,`,
	} {
		t.Run(accept, func(t *testing.T) {
			h := start(t, Options{})
			h.b.add("t", 2)
			n := 0
			h.b.next = func(protocol.ReadingLook) (*protocol.ReadingReply, *protocol.Error) {
				if n++; n == 1 {
					return &protocol.ReadingReply{Gaps: gaps}, nil
				}
				return nil, protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", "t")
			}
			resp, _ := h.followRaw("/topic/t/stream", accept)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(text), want), "%s", text)
		})
	}
}

// A value with line ends of other languages must not break a line of the stream.
func TestTopicStreamEscapesLineEnds(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	wantOK(t, h.do("POST", "/events", `{"topic":"t","value":"a\u2028b\u0085c"}`), 200)
	_, line := h.followTopic("/topic/t/stream", "text/event-stream", "0")
	var rec struct{ Value string }
	text := strings.TrimPrefix(line(), "data: ")
	assert.NotContains(t, text, "\u2028")
	require.NoError(t, json.Unmarshal([]byte(text), &rec))
	assert.Equal(t, "a\u2028b\u0085c", rec.Value)
}

func TestTopicStreamsAreBounded(t *testing.T) {
	h := startTCP(t, Options{MaxParkedPolls: 2}) // who leaves a pipe is noticed only when something is written
	h.b.add("t", 1)
	h.followTopic("/topic/t/stream", "text/event-stream", "0")
	resp, _ := h.followTopic("/topic/t/stream", "text/event-stream", "0")
	wantError(t, h.do("GET", "/topic/t/stream", ""), 503, "overloaded")
	require.NoError(t, resp.Body.Close())
	require.Eventually(t, func() bool { return h.s.parked.Used() == 1 }, patience, time.Millisecond)
	h.followTopic("/topic/t/stream", "text/event-stream", "0")
}

func TestAVanishedReaderEndsItsTopicStream(t *testing.T) {
	h := startTCP(t, Options{})
	h.b.add("t", 1)
	ctx, cancel := context.WithCancel(context.Background())
	req, err := nethttp.NewRequestWithContext(ctx, "GET", "http://ottla/topic/t/stream", nil)
	require.NoError(t, err)
	resp, err := h.http.Do(req)
	require.NoError(t, err)
	cancel()
	_ = resp.Body.Close()
	require.Eventually(t, func() bool { return h.s.parked.Used() == 0 }, patience, time.Millisecond)
}

// Streams at the end of a topic share one reading, whatever their form, and each gets
// every record once, also those who come later or from further back.
func TestTopicStreamsWaitTogether(t *testing.T) {
	for name, start := range map[string]func(*testing.T, Options) *harness{"sockets": startTCP, "pipes": start} {
		t.Run(name, func(t *testing.T) {
			h := start(t, Options{})
			h.b.add("t", 1)
			h.send(0)
			var nexts []func() string
			for i := range 12 {
				accept := "text/event-stream"
				if i%3 == 2 {
					accept = "application/x-ndjson"
				}
				_, next := h.followRaw("/topic/t/stream", accept)
				if i%3 != 2 {
					for range 3 { // the comment and the first id
						next()
					}
				}
				nexts = append(nexts, next)
			}
			for n := range 20 {
				if n > 0 {
					h.send(n)
				}
				for i, next := range nexts {
					if i%3 == 2 {
						require.Equal(t, event(n)+fmt.Sprintf(`,"cursor":"%d"}`, n+1)+"\n", next(), "stream %d", i)
						continue
					}
					require.Equal(t, "data: "+event(n)+"}\n", next(), "stream %d", i)
					require.Equal(t, fmt.Sprintf("id: %d\n", n+1), next())
					require.Equal(t, "\n", next())
				}
			}
			h.b.mu.Lock()
			defer h.b.mu.Unlock()
			assert.Positive(t, h.b.feeds)
			if name == "sockets" {
				assert.Less(t, len(h.b.readings), 12+6, "who waits with others needs no reading")
			}
		})
	}
}

// A client that does not read gets everything when it does, and holds up nobody.
func TestASlowTopicStreamHoldsUpNobody(t *testing.T) {
	h := startTCP(t, Options{WriteTimeout: patience}) // in which the client that does not read is not disconnected
	h.b.add("t", 1)
	_, slow := h.followTopic("/topic/t/stream", "text/event-stream", "0")
	_, fast := h.followTopic("/topic/t/stream", "text/event-stream", "0")
	const records, size = 40, 512 << 10 // more than sockets take
	value := strings.Repeat("v", size)
	for i := range records {
		wantOK(t, h.do("POST", "/events", fmt.Sprintf(`{"topic":"t","value":"%d %s"}`, i, value)), 200)
		assert.Contains(t, fast(), fmt.Sprintf(`"value":"%d v`, i))
		fast()
		fast()
	}
	for i := range records {
		assert.Contains(t, slow(), fmt.Sprintf(`"value":"%d v`, i))
		assert.Equal(t, fmt.Sprintf("id: %d\n", i+1), slow())
		slow()
	}
	require.Eventually(t, func() bool { return h.s.answers.Used() < size+10_000 }, patience, time.Millisecond, "%d", h.s.answers.Used())
}

// The end of a topic ends the streams that wait for it, with the error.
func TestTopicStreamsThatWaitTogetherEnd(t *testing.T) {
	h := startTCP(t, Options{})
	h.b.add("t", 1)
	resp, _ := h.followTopic("/topic/t/stream", "text/event-stream", "0")
	require.Eventually(t, func() bool {
		h.b.mu.Lock()
		defer h.b.mu.Unlock()
		return h.b.feeds == 1
	}, patience, time.Millisecond)
	h.b.failReadings(protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", "t"))
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(text), "event: problem\ndata: {\"error_code\":40401,")
}

// A client that takes nothing for the write timeout loses its stream, whatever comes
// meanwhile.
func TestAStalledTopicStreamEnds(t *testing.T) {
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		t.Run(accept, func(t *testing.T) {
			h := startTCP(t, Options{WriteTimeout: 100 * time.Millisecond})
			h.b.add("t", 1)
			h.followRaw("/topic/t/stream", accept)
			require.Eventually(t, func() bool {
				h.b.mu.Lock()
				defer h.b.mu.Unlock()
				return h.b.feeds == 1
			}, patience, time.Millisecond)
			value := strings.Repeat("v", 512<<10)
			for deadline := time.Now().Add(patience); h.s.parked.Used() > 0; {
				require.True(t, time.Now().Before(deadline), "it never ends")
				wantOK(t, h.do("POST", "/events", fmt.Sprintf(`{"topic":"t","value":%q}`, value)), 200)
				<-time.After(150 * time.Millisecond) // a stream that is at its place when its write has failed
			}
		})
	}
}

// What was removed comes before the records of a look, also where records of another
// partition were read before that was known.
func TestATopicStreamTellsOfGapsBeforeRecords(t *testing.T) {
	gap := protocol.Gap{Topic: "t", Partition: 1, Asked: 2, Earliest: 3, Latest: 3}
	for accept, want := range map[string]string{
		"text/event-stream": ": stream\nid: 0\n\n" +
			`event: gap` + "\n" + `data: {"topic":"t","partition":1,"asked":2,"earliest":3,"latest":3}` + "\n\n" +
			"data: " + event(0) + "}\nid: c0\n\ndata: " + event(1) + "}\nid: c1\n\n" + "event: problem\n",
		"application/x-ndjson": `{"gap":{"topic":"t","partition":1,"asked":2,"earliest":3,"latest":3}}` + "\n" +
			event(0) + `,"cursor":"c0"}` + "\n" + event(1) + `,"cursor":"c1"}` + "\n" + `{"error":`,
	} {
		t.Run(accept, func(t *testing.T) {
			h := start(t, Options{})
			h.b.add("t", 2)
			looks := 0
			h.b.next = func(look protocol.ReadingLook) (*protocol.ReadingReply, *protocol.Error) {
				if looks++; looks > 1 {
					look.Sink.TakeAt(&protocol.Record{Topic: "t"}, []byte("never")) // before the look has failed
					return nil, protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", "t")
				}
				look.Sink.Expect(1000)
				for i := range 2 {
					look.Sink.TakeAt(&protocol.Record{
						Topic: "t", Offset: protocol.Offset(i), Timestamp: 1, Key: []byte("-"), Value: fmt.Append(nil, i),
					}, fmt.Append(nil, "c", i))
				}
				return &protocol.ReadingReply{Gaps: []protocol.Gap{gap}, Count: 2}, nil
			}
			resp, _ := h.followRaw("/topic/t/stream", accept)
			text, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(text), want), "%s", text)
			assert.NotContains(t, string(text), "never")
		})
	}
}

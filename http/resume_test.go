package http

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// An EventSource comes back with the last id that it has got, and does not come back
// again after anything but 200. So what is no record has an id as well, and an id of
// an older generation is answered.
func TestEventsOfStreamsThatAreNoRecords(t *testing.T) {
	record := protocol.Record{Topic: "t", Timestamp: 1, Key: []byte("-"), Value: []byte("0")}
	gap := protocol.Gap{Topic: "t", Partition: 1, Asked: 3, Earliest: 10, Latest: 12}
	const gapText = `{"topic":"t","partition":1,"asked":3,"earliest":10,"latest":12}`
	for name, c := range map[string]struct {
		reply       protocol.PollReply
		sse, ndjson string
	}{
		"an older generation": {
			protocol.PollReply{AfterGeneration: 1, Generation: 2, Cursor: "c2"},
			"event: rebalance\ndata: {\"generation\":2}\nid: c2\n\n", "",
		},
		"and records": {
			protocol.PollReply{AfterGeneration: 1, Generation: 2, Cursor: "c2", Records: []protocol.Record{record}, Cursors: []string{"c1"}},
			"event: rebalance\ndata: {\"generation\":2}\n\ndata: " + event(0) + "}\nid: c1\n\n", event(0) + `,"cursor":"c1"}` + "\n",
		},
		"the same generation": {protocol.PollReply{AfterGeneration: 2, Generation: 2, Cursor: "c2"}, "", ""},
		"a gap": {
			protocol.PollReply{Generation: 2, Cursor: "c2", Gaps: []protocol.Gap{gap}},
			"event: gap\ndata: " + gapText + "\nid: c2\n\n", `{"gap":` + gapText + "}\n",
		},
		"a gap before records": {
			protocol.PollReply{Generation: 2, Cursor: "c2", Gaps: []protocol.Gap{gap}, Records: []protocol.Record{record}, Cursors: []string{"c1"}},
			"event: gap\ndata: " + gapText + "\n\ndata: " + event(0) + "}\nid: c1\n\n", `{"gap":` + gapText + "}\n" + event(0) + `,"cursor":"c1"}` + "\n",
		},
	} {
		for accept, want := range map[string]string{"text/event-stream": c.sse, "application/x-ndjson": c.ndjson} {
			t.Run(name+" "+accept, func(t *testing.T) {
				h := start(t, Options{})
				h.b.add("t", 1)
				n := 0
				h.b.poll = func(req *protocol.PollRequest, _ <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
					assert.True(t, req.SkipGaps)
					if n++; n > 1 {
						return nil, protocol.Errorf(protocol.CodeShuttingDown, "the end")
					}
					reply := c.reply
					reply.ConsumerID, reply.Group = 5, "g"
					return &reply, nil
				}
				resp, _ := h.follow("/events?topic=t&consumer_id=5", accept, "Last-Event-ID", "c0")
				text, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				got, _, _ := strings.Cut(string(text), "event: problem\n")
				got, _, _ = strings.Cut(got, `{"error":`)
				assert.Equal(t, want, got)
			})
		}
	}
}

// A poll tells of the partitions that it delivers nothing of.
func TestPollTellsOfGaps(t *testing.T) {
	h := start(t, Options{})
	h.b.add("t", 1)
	h.b.poll = func(req *protocol.PollRequest, _ <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
		assert.False(t, req.SkipGaps)
		return &protocol.PollReply{ConsumerID: 5, Group: "g", Generation: 1, Gaps: []protocol.Gap{{Topic: "t", Asked: 3, Earliest: 10, Latest: 12}}}, nil
	}
	v := wantOK(t, h.do("GET", "/events?topic=t", ""), 200)
	assert.Equal(t, []any{map[string]any{"topic": "t", "partition": 0.0, "asked": 3.0, "earliest": 10.0, "latest": 12.0}}, v["out_of_range"])
}

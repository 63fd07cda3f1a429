package http

import (
	"encoding/json"
	"time"

	"ottla/http/conn"
	"ottla/protocol"
)

// topicStream writes the records of a topic to a client that belongs to no group.
// Nothing of it is kept: its client has the cursor.
type topicStream struct {
	outlet
	req     protocol.ReadingRequest
	reading protocol.Reading
	told    string // the last cursor that the client was given
}

// getTopicStream follows a topic without a group. Without an Accept header that says
// NDJSON, the answer is a stream of events.
func getTopicStream(c *call) *protocol.Error {
	var (
		req     protocol.ReadingRequest
		cluster string
		key     *string
	)
	err := c.bindQuery(
		binding{name: "cluster", set: setName(&cluster)},
		binding{name: "from", set: setFrom(&req.From)},
		binding{name: "partition", set: setOptionalInteger(&req.Partition, 0, maxPartition, atLeast)},
		binding{name: "offset", set: setOptionalInteger(&req.Offset, 0, maxOffset, atLeast)},
		binding{name: "key", set: setOptionalText(&key)},
		binding{name: "after", set: setCursor(&req.After)})
	if err != nil {
		return err
	}
	switch {
	case req.Offset != nil && req.Partition == nil:
		return invalid("offset", "needs partition")
	case req.Offset != nil && c.ctx.QueryArgs().Has("from"):
		return invalid("offset", "excludes from")
	}
	if key != nil {
		req.Key = []byte(*key)
	}
	if id := c.ctx.Request.Header.Peek("Last-Event-ID"); len(id) > 0 && len(id) <= maxCursor {
		req.After = string(id) // of a browser that connects again with the address of the first time
	}
	name, err := c.nameParam("topic")
	if err != nil {
		return err
	}
	if req.Topic, err = c.b.LookupTopic(cluster, name, false, c.deadline()); err != nil {
		return err
	}
	kind := c.wantsStream()
	if kind == noStream {
		kind = eventStream
	}
	st := &topicStream{outlet: c.newOutlet(kind)}
	req.Done, req.Gone = c.srv.done, st.client.gone
	st.req = req
	return c.startOutlet(&st.outlet, func() (err *protocol.Error) {
		st.reading, err = st.b.OpenReading(&req)
		return err
	}, st.run)
}

// maxPartition is the largest partition number that a client may name.
const maxPartition = 1<<31 - 1

// run writes what the reading brings, until the client leaves, the server shuts down
// or the reading fails.
func (st *topicStream) run(w *conn.Stream) {
	defer func() { st.reading.Close() }() // it may be another one by then
	st.comment("stream")                  // proxies pass the headers on with the first byte
	for st.flush(w) && !st.ending() {
		st.pace(time.Second, func() {})
		reply, err := st.reading.Next(protocol.ReadingLook{
			MaxRecords: st.srv.o.DefaultMaxRecords, MaxBytes: st.srv.o.DefaultMaxBytes, Room: &st.held,
			Timeout: max(0, time.Until(st.lastWrite.Add(st.srv.o.Heartbeat))),
		})
		if err == nil {
			st.render(reply)
			err = st.goOn()
		}
		if err != nil {
			st.renderError(err)
			st.flush(w)
			return
		}
		if len(st.buf) == 0 && time.Since(st.lastWrite) >= st.srv.o.Heartbeat {
			st.comment("alive")
		}
		st.held.Set(int64(cap(st.buf)))
	}
}

// goOn ends the stream with an error when its client may not read the topic any more.
// With another token it goes on behind what was read.
func (st *topicStream) goOn() *protocol.Error {
	renewed, err := st.renew(mayRead(st.req.Topic.Cluster, []string{st.req.Topic.Name}, ""))
	if err != nil || !renewed {
		return err
	}
	st.req.After = st.reading.Cursor()
	t := st.req.Topic // it may have more partitions by now
	if st.req.Topic, err = st.b.LookupTopic(t.Cluster, t.Name, false, time.Time{}); err != nil {
		return err
	}
	next, err := st.b.OpenReading(&st.req)
	if err != nil {
		return err
	}
	st.reading.Close()
	st.reading = next
	return nil
}

// comment appends a sign of life, and with it the position if the client does not
// know it: who connects again before the first record then goes on from there.
// NDJSON has no comments.
func (st *topicStream) comment(text string) {
	if st.kind != eventStream {
		st.lastWrite = time.Now()
		return
	}
	st.buf = append(st.buf, ": "...)
	st.buf = append(st.buf, text...)
	if cursor := st.reading.Cursor(); cursor != st.told {
		st.told = cursor
		st.buf = append(st.buf, "\nid: "...)
		st.buf = append(st.buf, cursor...)
	}
	st.buf = append(st.buf, "\n\n"...)
}

// render appends what a look has brought.
func (st *topicStream) render(reply *protocol.ReadingReply) {
	for i := range reply.Gaps {
		st.renderGap(&reply.Gaps[i], i == len(reply.Gaps)-1 && len(reply.Records) == 0)
	}
	begin := len(st.buf)
	for i := range reply.Records {
		st.told = reply.Cursors[i]
		if st.kind == ndjsonStream {
			st.buf = appendRecordFields(st.buf, &reply.Records[i])
			st.buf = append(st.buf, `,"cursor":"`...)
			st.buf = append(st.buf, st.told...) // of characters that need no escape
			st.buf = append(st.buf, "\"}\n"...)
			continue
		}
		st.buf = append(st.buf, "data: "...)
		st.buf = appendRecord(st.buf, &reply.Records[i]) // is one line, as tokens have no control characters
		st.buf = append(st.buf, "\nid: "...)
		st.buf = append(st.buf, st.told...)
		st.buf = append(st.buf, "\n\n"...)
	}
	st.buf = protocol.EscapeLineEnds(st.buf, begin)
}

// renderGap appends that records were removed before they were read. The last event
// of a look has the position behind all that it brought: who comes back with it is
// not told of the gaps again.
func (st *topicStream) renderGap(gap *protocol.Gap, last bool) {
	text, _ := json.Marshal(gap) // such a struct always can be
	if last {
		st.told = st.reading.Cursor()
	}
	if st.kind == ndjsonStream {
		st.buf = append(st.buf, `{"gap":`...)
		st.buf = append(st.buf, text...)
		if last {
			st.buf = append(st.buf, `,"cursor":"`...)
			st.buf = append(st.buf, st.told...)
			st.buf = append(st.buf, '"')
		}
		st.buf = append(st.buf, "}\n"...)
		return
	}
	st.buf = append(st.buf, "event: gap\ndata: "...)
	st.buf = append(st.buf, text...)
	if last {
		st.buf = append(st.buf, "\nid: "...)
		st.buf = append(st.buf, st.told...)
	}
	st.buf = append(st.buf, "\n\n"...)
}

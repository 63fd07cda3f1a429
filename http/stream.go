package http

import (
	"encoding/json"
	"strconv"
	"time"

	"ottla/http/conn"
	"ottla/protocol"
)

// stream repeats polls and writes what they bring, until the client leaves, the
// server shuts down or a poll fails.
type stream struct {
	outlet
	req protocol.PollRequest

	follow     bool // each poll begins at the cursor of the one before
	leave      bool // the consumer was made for this stream, and leaves the group when it ends
	generation protocol.Generation
	cursor     string
	cluster    string // of the group, as the last answer says
}

// startStream makes the first poll. Its error is answered like any other; else
// the stream begins.
func startStream(c *call, kind streamKind, req *protocol.PollRequest) *protocol.Error {
	st := &stream{outlet: newOutlet(c, kind), req: *req, follow: !req.AutoCommit}
	st.req.Room = &st.held
	st.resume(string(c.ctx.Request.Header.Peek("Last-Event-ID")))
	st.leave = req.ConsumerID == 0 && st.req.After == ""
	st.req.Gone = st.client.gone
	// The first poll does not wait: its answer carries the consumer's id.
	st.req.Timeout = 0
	st.req.RecordCursors, st.req.SkipGaps = true, true
	var first *protocol.PollReply
	return startOutlet(c, &st.outlet, func() (err *protocol.Error) {
		if first, err = st.poll(); err != nil {
			return err
		}
		// Each poll renews the lease, so none may wait as long as the lease lasts. And a
		// stream that has no records sends a comment now and then.
		st.req.Timeout = min(c.srv.o.Heartbeat, st.req.SessionTimeout/2)
		st.req.Continue, st.req.Announce, st.req.Stay = true, true, true
		c.ctx.Response.Header.Set("Ottla-Consumer-Id", strconv.FormatInt(int64(first.ConsumerID), 10))
		return nil
	}, func(w *conn.Stream) {
		reply := first
		first = nil // its records are not needed for as long as the stream lasts
		st.run(w, reply)
	})
}

// resume makes a Last-Event-ID the position to read on from, and its consumer the
// one that reads. A browser that connects again sends nothing else, so a consumer
// does not leave its group when a stream breaks off: its lease is left to expire.
// With auto_commit the committed offset may be beyond the Last-Event-ID already, so
// all polls of the stream go by their cursors.
func (st *stream) resume(lastEventID string) {
	if lastEventID == "" || st.req.Ack != "" || st.req.After != "" || len(lastEventID) > maxCursor {
		return
	}
	st.req.After, st.req.Resume, st.follow = lastEventID, true, true
	st.req.Continue = true // a browser does not come back after any other status than 200
}

// run writes the first answer and those of further polls.
func (st *stream) run(w *conn.Stream, reply *protocol.PollReply) {
	defer func() {
		seat := st.req.Seat
		if seat != nil {
			seat.Leave(st.client.gone())
		}
		// A client that has the id of a record may come back with it.
		switch {
		case st.leave && st.cursor == "":
			_ = st.b.LeaveGroup(st.req.Cluster, st.req.Group, st.req.ConsumerID)
		case seat == nil && st.client.gone():
			st.b.StreamEnded(st.cluster, st.req.Group, st.req.ConsumerID, st.req.Number)
		}
	}()
	st.lastWrite = time.Now()
	st.generation = reply.AfterGeneration
	if st.kind == eventStream {
		// Proxies pass the headers on with the first byte. A browser that comes back within
		// two seconds finds its share as it was; by itself it would wait longer.
		st.buf = append(st.buf, ": stream\nretry: 1000\n\n"...)
	}
	for {
		st.render(reply)
		st.held.Set(int64(cap(st.buf)))
		if !st.flush(w) {
			return
		}
		if reply.Superseded { // polling on would end the newer stream, which would do the same
			st.leave = false
			return
		}
		select {
		case <-st.srv.done:
			return
		default:
		}
		st.pace(st.req.SessionTimeout/3, st.keepLease)
		var err *protocol.Error
		if reply, err = st.poll(); err == nil {
			if _, err = st.renew(mayRead(reply.Cluster, st.req.Topics, reply.Group)); err != nil && len(reply.Records) > 0 {
				st.render(reply) // they were read, and perhaps committed, before
			}
		}
		if err != nil {
			st.renderError(err)
			st.flush(w)
			return
		}
	}
}

// keepLease renews the lease of a consumer that has to wait for its quota.
func (st *stream) keepLease() {
	_, _ = st.b.Heartbeat(&protocol.HeartbeatRequest{Cluster: st.req.Cluster, Group: st.req.Group, ConsumerID: st.req.ConsumerID})
}

// poll asks for the next records.
func (st *stream) poll() (*protocol.PollReply, *protocol.Error) {
	req := st.req
	st.req.Seat = nil
	reply, err := st.b.Poll(&req, st.srv.done)
	if err != nil {
		return nil, err
	}
	st.req.ConsumerID, st.req.Group, st.req.Ack = reply.ConsumerID, reply.Group, ""
	st.req.Number, st.req.Seat, st.cluster = reply.Number, reply.Seat, reply.Cluster
	if st.follow && reply.Cursor != "" {
		st.req.After = reply.Cursor
	}
	return reply, nil
}

// render appends a poll's answer to buf, or a comment if nothing was written for
// a while.
func (st *stream) render(reply *protocol.PollReply) {
	if st.generation != 0 && st.generation != reply.Generation && st.kind == eventStream {
		st.buf = append(st.buf, "event: rebalance\ndata: {\"generation\":"...)
		st.buf = strconv.AppendInt(st.buf, int64(reply.Generation), 10)
		st.buf = append(st.buf, '}')
		st.endEvent(reply)
	}
	st.generation = reply.Generation
	for i := range reply.Gaps {
		st.renderGap(reply, &reply.Gaps[i])
	}
	begin := len(st.buf)
	for i := range reply.Records {
		// A record without a cursor of its own gets the one before it: resuming there
		// repeats records, but skips none.
		switch {
		case i < len(reply.Cursors):
			st.cursor = reply.Cursors[i]
		case i == len(reply.Records)-1:
			st.cursor = reply.Cursor
		}
		st.renderRecord(&reply.Records[i])
	}
	st.buf = protocol.EscapeLineEnds(st.buf, begin)
	if len(st.buf) == 0 && st.kind == eventStream && time.Since(st.lastWrite) >= st.srv.o.Heartbeat {
		st.buf = append(st.buf, ": alive\n\n"...)
	}
}

// endEvent ends an event that is no record. It has the id of the position, unless
// records with ids of their own follow: who comes back with it goes on in this
// generation, and behind what was skipped.
func (st *stream) endEvent(reply *protocol.PollReply) {
	st.buf = append(st.buf, '\n')
	if len(reply.Records) == 0 && reply.Cursor != "" {
		st.cursor = reply.Cursor
		st.buf = append(st.buf, "id: "...)
		st.buf = append(st.buf, st.cursor...)
		st.buf = append(st.buf, '\n')
	}
	st.buf = append(st.buf, '\n')
}

// renderGap appends that records were removed before they were read.
func (st *stream) renderGap(reply *protocol.PollReply, gap *protocol.Gap) {
	text, _ := json.Marshal(gap) // such a struct always can be
	if st.kind == eventStream {
		st.buf = append(st.buf, "event: gap\ndata: "...)
		st.buf = append(st.buf, text...)
		st.endEvent(reply)
		return
	}
	st.buf = append(st.buf, `{"gap":`...)
	st.buf = append(st.buf, text...)
	st.buf = append(st.buf, '}', '\n')
}

func (st *stream) renderRecord(r *protocol.Record) {
	if st.kind == ndjsonStream {
		st.buf = appendRecordFields(st.buf, r)
		st.buf = append(st.buf, `,"cursor":`...)
		st.buf = protocol.AppendJSONString(st.buf, st.cursor)
		st.buf = append(st.buf, '}', '\n')
		return
	}
	st.buf = append(st.buf, "data: "...)
	st.buf = appendRecord(st.buf, r) // is one line, as tokens have no control characters
	st.buf = append(st.buf, '\n')
	if st.cursor != "" {
		st.buf = append(st.buf, "id: "...)
		st.buf = append(st.buf, st.cursor...)
		st.buf = append(st.buf, '\n')
	}
	st.buf = append(st.buf, '\n')
}

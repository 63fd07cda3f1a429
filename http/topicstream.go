package http

import (
	"encoding/json"
	"time"

	"ottla/http/conn"
	"ottla/http/fanout"
	"ottla/protocol"
)

// topicStream writes the records of a topic to a client that belongs to no group.
// Nothing of it is kept: its client has the cursor.
//
// It reads alone until it is at the place where others are, and waits with them then:
// what comes is read and rendered once for all (package fanout).
type topicStream struct {
	outlet
	req     protocol.ReadingRequest
	reading protocol.Reading // nil after the stream has waited with others: it is to be opened at the cursor
	at      string           // the cursor of what was read
	told    string           // the last cursor that the client was given

	looked streamRendering // what the present look has brought

	feed  *fanout.Feed // nil: it reads alone, because it wants one key only
	sub   *fanout.Subscriber
	atEnd bool // the last look found nothing more in any partition
	aside bool // though at the end, it could not attach
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
	st := &topicStream{outlet: newOutlet(c, kind), looked: streamRendering{kind: kind}}
	req.Done, req.Gone = c.srv.done, st.client.gone
	st.req = req
	return startOutlet(c, &st.outlet, func() (err *protocol.Error) {
		st.reading, err = st.b.OpenReading(&req)
		return err
	}, st.run)
}

// maxPartition is the largest partition number that a client may name.
const maxPartition = 1<<31 - 1

// run writes what comes until the client leaves, the server shuts down or the reading
// fails.
func (st *topicStream) run(w *conn.Stream) {
	defer st.looked.release()
	defer st.closeReading()
	st.at = st.reading.Cursor()
	if st.req.Key == nil {
		st.sub = fanout.NewSubscriber(w, formOf(st.kind), st.mayTake)
		st.feed = st.srv.feeds.Join(st.req.Topic, st.req.Partition, st.sub)
		defer st.srv.feeds.Leave(st.feed, st.sub)
	}
	st.comment("stream") // proxies pass the headers on with the first byte
	for st.flush(w) && !st.ending() {
		st.giveBack()
		st.pace(time.Second, func() {})
		err := st.goOn()
		if err == nil {
			err = st.next(w)
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

// next has the client given what comes next, or leaves it in buf.
func (st *topicStream) next(w *conn.Stream) *protocol.Error {
	if st.feed != nil {
		chunk, end, ok := st.feed.Attach(st.sub, st.at, st.atEnd)
		st.aside = st.atEnd && !ok
		switch {
		case ok && chunk != nil:
			st.moveTo(end)
			st.account(len(chunk), time.Now())
			_ = w.Write(chunk) // an error comes again with the next write
			return nil
		case ok:
			st.wait(w)
			return nil
		}
	}
	return st.alone()
}

// moveTo says that the client has got everything up to a cursor, other than by the
// stream's own reading.
func (st *topicStream) moveTo(cursor string) {
	if cursor != st.at {
		st.at, st.told = cursor, cursor
		st.closeReading()
	}
}

func (st *topicStream) closeReading() {
	if st.reading != nil {
		st.reading.Close()
		st.reading = nil
	}
}

// wait leaves the stream to the feed until it has to do something by itself.
func (st *topicStream) wait(w *conn.Stream) {
	st.buf, st.looked = nil, streamRendering{kind: st.kind} // there may be thousands who wait
	st.held.Release()
	left, forget := st.client.watch()
	timer := time.NewTimer(time.Until(st.lastWrite.Add(st.srv.o.Heartbeat)))
	defer timer.Stop()
	for waits := true; waits; {
		select {
		case <-timer.C:
			if last := st.sub.LastWrite(); !last.IsZero() && time.Since(last) < st.srv.o.Heartbeat {
				timer.Reset(time.Until(last.Add(st.srv.o.Heartbeat)))
				continue
			}
		case <-st.sub.Woken():
		case <-left:
		case <-st.srv.done:
		case <-st.who.Ended():
		}
		waits = false
	}
	forget()
	cursor, rest, sent, err := st.feed.Detach(st.sub)
	st.answered.out += sent
	if sent > 0 {
		st.lastWrite = time.Now()
	}
	st.moveTo(cursor)
	if err == nil && len(rest) > 0 {
		st.held.Set(int64(len(rest)))
		_ = w.Write(rest) // an error comes again with the next write
	}
}

// mayTake says whether the feed may write so many bytes to the client, and counts them.
func (st *topicStream) mayTake(size int, now time.Time) bool {
	usage := st.who.Usage()
	if st.who.Over(now) || usage.FetchWait(now) > 0 {
		return false
	}
	usage.Fetched(size, now)
	return true
}

// alone looks for records by the stream's own reading.
func (st *topicStream) alone() *protocol.Error {
	if st.reading == nil {
		req := st.req
		req.After, req.Offset = st.at, nil
		var err *protocol.Error
		if st.reading, err = st.b.OpenReading(&req); err != nil {
			return err
		}
	}
	until := st.lastWrite.Add(st.srv.o.Heartbeat)
	look := protocol.ReadingLook{MaxRecords: st.srv.o.DefaultMaxRecords, MaxBytes: st.srv.o.DefaultMaxBytes, Room: &st.held, Sink: &st.looked}
	var moved <-chan struct{}
	if st.feed == nil {
		look.Timeout = max(0, time.Until(until))
	} else {
		look.UpTo, moved = st.feed.Target() // one that does not wait: who is at the end waits with others
	}
	reply, err := st.reading.Next(look)
	if err != nil {
		return err
	}
	nothing := reply.Count == 0 && len(reply.Gaps) == 0
	if st.feed != nil && nothing && st.apart(look.UpTo, reply, moved) {
		look.UpTo, look.Timeout = "", max(0, time.Until(until))
		if reply, err = st.reading.Next(look); err != nil {
			return err
		}
	}
	st.at, st.atEnd = st.reading.Cursor(), reply.AtEnd
	st.render(reply)
	return nil
}

// feedPatience is how long a stream that is at another place than the feed, and not
// behind it, waits for the feed to move.
const feedPatience = 50 * time.Millisecond

// apart reports whether a stream that has nothing to read up to the place of the feed
// cannot wait with the others either.
func (st *topicStream) apart(target string, reply *protocol.ReadingReply, moved <-chan struct{}) bool {
	switch {
	case target == "":
		return st.aside || !reply.AtEnd
	case target == st.reading.Cursor():
		return false
	}
	t := time.NewTimer(feedPatience)
	defer t.Stop()
	select {
	case <-moved:
		return false
	case <-st.srv.done:
		return false
	case <-t.C:
		return true
	}
}

// goOn ends the stream with an error when its client may not read the topic any more.
// With another token it goes on behind what was read.
func (st *topicStream) goOn() *protocol.Error {
	renewed, err := st.renew(mayRead(st.req.Topic.Cluster, []string{st.req.Topic.Name}, ""))
	if err != nil || !renewed {
		return err
	}
	t := st.req.Topic // it may have more partitions by now
	if st.req.Topic, err = st.b.LookupTopic(t.Cluster, t.Name, false, time.Time{}); err != nil {
		return err
	}
	st.closeReading()
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
	if st.at != st.told {
		st.told = st.at
		st.buf = append(st.buf, "\nid: "...)
		st.buf = append(st.buf, st.at...)
	}
	st.buf = append(st.buf, "\n\n"...)
}

// render makes what a look has brought what is written next.
func (st *topicStream) render(reply *protocol.ReadingReply) {
	for i := range reply.Gaps {
		st.renderGap(&reply.Gaps[i], i == len(reply.Gaps)-1 && reply.Count == 0)
	}
	if reply.Count == 0 {
		return
	}
	st.told = string(st.looked.cursor)
	if text := st.looked.text(); len(st.buf) > 0 {
		st.buf = append(st.buf, text...)
	} else {
		st.buf = text
	}
}

// giveBack gives back the memory of the last look, which was written.
func (st *topicStream) giveBack() {
	if st.looked.buf != nil {
		st.buf = nil // it may be a part of that
		st.looked.release()
	}
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

// The forms of streams that wait together.
var fanoutKinds = [fanout.Forms]streamKind{eventStream, ndjsonStream}

func formOf(kind streamKind) fanout.Form {
	if kind == ndjsonStream {
		return 1
	}
	return 0
}

// newFeeds are the places where streams of topics wait together.
func (s *Server) newFeeds() *fanout.Feeds {
	return fanout.New(fanout.Options{
		Open: s.b.OpenReading,
		Render: func(form fanout.Form, reply *protocol.ReadingReply) []byte {
			return conn.AppendChunk(nil, appendReading(nil, fanoutKinds[form], reply))
		},
		Look: protocol.ReadingLook{MaxRecords: s.o.DefaultMaxRecords, MaxBytes: s.o.DefaultMaxBytes, Timeout: s.o.Heartbeat},
		Room: func() fanout.Room {
			share := s.answers.Share()
			return &share
		},
		Sent: func(bytes int) { s.metrics.streamed.Add(float64(bytes)) },
	})
}

package front

import (
	"errors"
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// reading reads a topic without a group, look by look. Its positions are its own: nothing
// of it is kept anywhere else, and its client holds the cursor. It implements
// protocol.Reading.
//
// Unlike a poll it blocks the goroutine that calls Next: streams have one anyway. A leader
// that wakes it puts one element into woken, whoever has more to say finds it full.
type reading struct {
	records *recordService
	req     protocol.ReadingRequest
	cluster *routing.Cluster
	routes  *routing.Table  // as looked at last
	topic   *protocol.Topic // in routes
	at      []readPosition  // by partition number
	turn    uint64          // which position is read first: another one at each look, so that none starves

	waiter     *protocol.Waiter
	woken      chan struct{}         // has one element if a leader has woken the reading
	registered []*routing.Leadership // where the waiter may be registered
	waits      bool                  // it is registered at the leaders of all partitions, at their positions
	cursor     cursorWriter
}

// readPosition is where a partition is read on.
type readPosition struct {
	partition int
	offset    protocol.Offset // the next one to read, if known
	known     bool
	since     int64 // else the position is the first record not before that time, milliseconds since 1970; 0: the earliest
}

// How long a reading that waits for records leaves a partition without a leader
// alone, and how often it looks whether its client is still there.
const (
	readingLeaderPatience = 250 * time.Millisecond
	readingAliveInterval  = 5 * time.Second
)

// OpenReading begins a reading. It waits for nothing: a partition that has no leader
// at the moment starts when it has one, and then from what was committed since now
// if it is to start at the end. Errors: invalid_cursor, foreign_cursor,
// partition_not_found.
func (rs *recordService) OpenReading(req *protocol.ReadingRequest) (protocol.Reading, *protocol.Error) {
	if err := rs.gone(req.Topic); err != nil {
		return nil, err
	}
	r := &reading{records: rs, req: *req, cluster: routing.Of(req.Topic).Cluster, topic: req.Topic, woken: make(chan struct{}, 1)}
	r.routes = r.cluster.Table()
	r.waiter = protocol.NewWaiter(func() {
		select {
		case r.woken <- struct{}{}:
		default:
		}
	})
	if p := req.Partition; p != nil {
		if _, err := rs.route(req.Topic, *p); err != nil {
			return nil, err
		}
	}
	if req.After != "" {
		at, err := decodeReadCursor(req.After, r.topic)
		if err != nil {
			return nil, err
		}
		r.at = slices.DeleteFunc(at, func(at readPosition) bool {
			return at.partition >= r.topic.Partitions || req.Partition != nil && at.partition != *req.Partition
		})
		r.addPartitions()
		return r, nil
	}
	r.addPartitions()
	for i := range r.at {
		if err := r.start(&r.at[i]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// start places a position where the request says.
func (r *reading) start(at *readPosition) *protocol.Error {
	switch {
	case r.req.Offset != nil:
		at.offset, at.known = *r.req.Offset, true
		return nil
	case r.req.From.Timestamp != nil:
		at.since = max(1, *r.req.From.Timestamp)
		return nil
	case !r.req.From.Latest:
		return nil
	}
	// Kept as a time until the leader is there: started at the end as of then, it would
	// miss what was written in between.
	at.since = max(1, r.records.opt.Millis())
	if v, _, err := r.records.view(r.topic, at.partition, 0); err == nil {
		at.offset, at.known = protocol.Offset(v.HighWatermark()), true
	}
	return nil
}

// addPartitions adds the partitions that are to be read and have no position yet:
// they start at their earliest record.
func (r *reading) addPartitions() {
	add := func(partition int) {
		i, there := slices.BinarySearchFunc(r.at, partition, func(at readPosition, p int) int { return at.partition - p })
		if !there {
			r.at = slices.Insert(r.at, i, readPosition{partition: partition})
		}
	}
	switch {
	case r.req.Partition != nil:
		add(*r.req.Partition)
	case r.req.Key != nil:
		add(protocol.PartitionForContent(r.req.Key, r.topic.Partitions))
	case len(r.at) < r.topic.Partitions:
		for p := range r.topic.Partitions {
			add(p)
		}
	}
}

// renewTopic takes the topic from the newest routing table: partitions may have been
// added. Error: topic_not_found.
func (r *reading) renewTopic() *protocol.Error {
	now := r.cluster.Table()
	if now == r.routes {
		return nil
	}
	if err := r.records.gone(r.topic); err != nil {
		return err
	}
	r.routes, r.topic = now, now.Topics[r.topic.Name]
	r.addPartitions()
	return nil
}

// Cursor implements protocol.Reading.
func (r *reading) Cursor() string { return r.cursor.encode(r.topic, r.at) }

// Next implements protocol.Reading.
func (r *reading) Next(want protocol.ReadingLook) (*protocol.ReadingReply, *protocol.Error) {
	deadline := time.Now().Add(want.Timeout)
	var bounds []readPosition
	if want.UpTo != "" {
		var err *protocol.Error
		if bounds, err = decodeReadCursor(want.UpTo, r.topic); err != nil {
			return nil, err
		}
	}
	for {
		if r.records.revoked() {
			return &protocol.ReadingReply{}, nil
		}
		if err := r.renewTopic(); err != nil {
			return nil, err
		}
		look := readingLook{want: want, bounds: bounds, records: want.MaxRecords, bytes: want.MaxBytes}
		if err := r.look(&look); err != nil {
			return nil, err
		}
		// The positions have moved, or a leader is missing, so the waiters stand at the
		// wrong places.
		if look.scanned > 0 || len(look.reply.Gaps) > 0 || len(look.leaderless) > 0 {
			r.waits = false
		}
		switch {
		case look.reply.Count > 0 || len(look.reply.Gaps) > 0 || !time.Now().Before(deadline) || r.over():
			return &look.reply, nil
		case look.scanned > 0:
			continue // there were records, with other keys
		}
		r.wait(deadline, look.leaderless)
	}
}

// over reports whether nobody waits for records any more.
func (r *reading) over() bool {
	return closed(r.req.Done) || closed(r.records.stopped) || r.records.revoked() || r.req.Gone != nil && r.req.Gone()
}

// wait returns when a partition may have something to read, when topics change, at the
// deadline, or when nobody waits any more. It only waits: what has happened is found out by
// the look that follows.
func (r *reading) wait(deadline time.Time, leaderless []*routing.Partition) {
	until := deadline
	var led <-chan struct{}
	if len(leaderless) > 0 {
		_, led = leaderless[0].Current()
		until = minTime(until, time.Now().Add(readingLeaderPatience))
	}
	if !r.waits {
		r.register(leaderless)
	}
	for {
		t := time.NewTimer(min(time.Until(until), readingAliveInterval))
		select {
		case <-r.woken:
			r.waits = false
		case <-led:
		// Topics have changed, perhaps this one: the next look takes the new table.
		case <-r.routes.Changed():
			r.waits = false
		case <-r.req.Done:
		case <-r.records.stopped:
		case <-r.records.access.Who.Ended():
		case <-t.C:
			if time.Now().Before(until) && !r.over() {
				continue
			}
		}
		t.Stop()
		return
	}
}

// register registers the waiter at the leaders of all partitions that have one, but
// not where the last look found none that answers: it would wake at once, again and
// again.
func (r *reading) register(leaderless []*routing.Partition) {
	r.unregister()
	select {
	case <-r.woken: // by what has been read
	default:
	}
	for i := range r.at {
		at := &r.at[i]
		route := routing.Of(r.topic).Partitions[at.partition]
		if leader := route.Leader(); leader != nil && at.known && !slices.Contains(leaderless, route) {
			r.registered = append(r.registered, leader)
			leader.Register(r.waiter, at.offset)
		}
	}
	r.waits = true
}

// Close implements protocol.Reading.
func (r *reading) Close() { r.unregister() }

// unregister takes the waiter out wherever it may be. A leader may wake it afterwards all
// the same, and the next look finds nothing.
func (r *reading) unregister() {
	for _, leader := range r.registered {
		leader.Unregister(r.waiter)
	}
	r.registered = r.registered[:0]
}

// readingLook is one look at all partitions.
type readingLook struct {
	want           protocol.ReadingLook
	bounds         []readPosition // of want.UpTo; nil: none
	reply          protocol.ReadingReply
	records, bytes int  // that may still be read
	roomTaken      bool // for all that follows, when the first partition with records was found
	held           int  // bytes of what was read, and of its cursors
	scanned        int  // records that were read, with any key
	leaderless     []*routing.Partition
}

// look reads what there is, and moves the positions past it.
func (r *reading) look(l *readingLook) *protocol.Error {
	r.turn++
	// Each record has a cursor over all partitions.
	l.records = min(l.records, max(1, l.bytes/r.cursor.size(r.at)))
	l.reply.AtEnd = true
	for i := range r.at {
		if l.records <= 0 || l.bytes <= 0 {
			l.reply.AtEnd = false
			break
		}
		if err := r.lookAt(l, &r.at[(r.turn+uint64(i))%uint64(len(r.at))]); err != nil {
			return err
		}
	}
	return keepRoom(l.want.Room, l.held)
}

// lookAt reads one partition.
func (r *reading) lookAt(l *readingLook, at *readPosition) *protocol.Error {
	// A view is outdated when compaction or retention has replaced its files while they
	// were read. A newer one is there by then.
	for tries := 0; ; tries++ {
		v, leader, err := r.records.view(r.topic, at.partition, 0)
		if err != nil {
			l.leaderless = append(l.leaderless, routing.Of(r.topic).Partitions[at.partition])
			l.reply.AtEnd = false
			return nil
		}
		err = r.readAt(l, at, v)
		switch {
		case err == nil:
			l.reply.AtEnd = l.reply.AtEnd && int64(at.offset) == v.HighWatermark()
			return nil
		case err == errStaleView && tries == 10:
			l.reply.AtEnd = false
			return nil // the next look takes a newer one
		case err == errStaleView:
		case err.Code != protocol.CodeStorageFailed || !r.records.hasSuccessor(r.topic, at.partition, leader):
			return err
		}
	}
}

// readAt reads what one view of a partition has.
func (r *reading) readAt(l *readingLook, at *readPosition, v routing.LogView) *protocol.Error {
	if err := r.place(at, v); err != nil {
		return err
	}
	if at.offset < protocol.Offset(v.Earliest()) {
		l.reply.Gaps = append(l.reply.Gaps, protocol.Gap{
			Topic: r.topic.Name, Partition: at.partition, Asked: at.offset,
			Earliest: protocol.Offset(v.Earliest()), Latest: protocol.Offset(v.HighWatermark()),
		})
		at.offset = protocol.Offset(v.Earliest())
	}
	end, records := l.end(at, v), l.records
	if l.bounds != nil {
		records = int(min(int64(records), int64(end-at.offset)))
	}
	if at.offset >= end {
		return nil
	}
	if !l.roomTaken {
		need := estimate(v, int64(at.offset), l.records, l.bytes) + l.records*r.cursor.size(r.at)
		bytes, err := takeRoom(l.want.Room, need, l.bytes)
		if err != nil {
			return err
		}
		l.bytes, l.roomTaken = bytes, true
	}
	c := collector{r: r, l: l, at: at, end: end, most: int(min(int64(records), v.HighWatermark()-int64(at.offset)))}
	var got gathered
	if l.want.Sink != nil {
		got.sink = &c
	}
	r.cursor.follow(r.topic, r.at, at)
	if err := got.read(v, r.topic.Name, at.partition, int64(at.offset), records, l.bytes); err != nil {
		return err
	}
	for i := range got.records {
		c.Take(&got.records[i])
	}
	at.offset = c.next
	if c.within < got.count || got.count == 0 {
		at.offset = end // compaction left nothing up to there
	}
	if c.sent > 0 && !r.req.Uncounted {
		countFetched(r.topic, at.partition, c.sent, c.bytes)
	}
	if c.within > 0 {
		l.scanned += got.count
		l.records -= got.count
		l.bytes -= got.bytes
	}
	return nil
}

// end is up to where a partition may be read.
func (l *readingLook) end(at *readPosition, v routing.LogView) protocol.Offset {
	end := protocol.Offset(v.HighWatermark())
	if l.bounds == nil {
		return end
	}
	i, there := slices.BinarySearchFunc(l.bounds, at.partition, func(b readPosition, p int) int { return b.partition - p })
	if !there || !l.bounds[i].known {
		return 0
	}
	return min(end, l.bounds[i].offset)
}

// collector adds the records of one partition to the answer, except for those with other
// keys and those from end on. It implements protocol.RecordSink.
type collector struct {
	r           *reading
	l           *readingLook
	at          *readPosition
	end         protocol.Offset
	most        int             // records that may come
	next        protocol.Offset // the offset after the last record before end
	within      int             // records before end
	sent, bytes int             // of those that were added
}

// Expect implements protocol.RecordSink.
func (c *collector) Expect(bytes int) {
	c.l.want.Sink.Expect(bytes + c.most*c.r.cursor.size(c.r.at))
}

// Take implements protocol.RecordSink.
func (c *collector) Take(rec *protocol.Record) {
	if rec.Offset >= c.end {
		return
	}
	c.next = rec.Offset + 1
	c.within++
	if c.r.req.Key != nil && !hasKey(rec, c.r.req.Key) {
		return
	}
	cursor, reply := c.r.cursor.moved(c.next), &c.l.reply
	reply.Count++
	if sink := c.l.want.Sink; sink != nil {
		sink.TakeAt(rec, cursor)
	} else {
		reply.Records = append(reply.Records, *rec)
		reply.Cursors = append(reply.Cursors, string(cursor))
	}
	size := sizeOf(rec)
	c.l.held += size + len(cursor)
	c.sent, c.bytes = c.sent+1, c.bytes+size
}

// Forget implements protocol.RecordSink: a read that fails has taken nothing.
func (c *collector) Forget() {}

// Copies implements protocol.Reading.
func (r *reading) Copies(reply *protocol.ReadingReply) func(times int) {
	type share struct{ partition, records, bytes int }
	var shares []share
	for i := range reply.Records {
		rec := &reply.Records[i]
		if last := len(shares) - 1; last < 0 || shares[last].partition != rec.Partition { // they stand together
			shares = append(shares, share{partition: rec.Partition})
		}
		s := &shares[len(shares)-1]
		s.records++
		s.bytes += sizeOf(rec)
	}
	topic := r.topic
	return func(times int) {
		for _, s := range shares {
			countFetched(topic, s.partition, s.records*times, s.bytes*times)
		}
	}
}

// place turns a position that is a time into an offset.
func (r *reading) place(at *readPosition, v routing.LogView) *protocol.Error {
	switch {
	case at.known:
		return nil
	case at.since == 0:
		at.offset = protocol.Offset(v.Earliest())
	default:
		offset, err := v.OffsetForTime(at.since)
		if errors.Is(err, logfile.ErrStale) {
			return errStaleView
		}
		if err != nil {
			return unreadable(r.topic.Name, at.partition, err)
		}
		at.offset = protocol.Offset(offset)
	}
	at.known = true
	return nil
}

// hasKey reports whether a record has the key with that content, in any form.
func hasKey(rec *protocol.Record, content []byte) bool {
	var buf [256]byte
	return protocol.KindOfToken(rec.Key) != protocol.TokenNull && string(protocol.KeyContent(buf[:0], rec.Key)) == string(content)
}

package front

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"ottla/actors/few"
	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// pollSession is one GET /events. It runs on the caller's goroutine: it asks
// the group for the consumer's share, reads the partitions by itself, parks at
// their leaders while there is nothing, and has the group note, and commit if
// asked to, what it delivers.
type pollSession struct {
	parking
	stays    bool // the waiter is parked at the partitions already
	front    *Front
	h        *routing.Cluster
	req      *protocol.PollRequest
	routes   *routing.Table                   // when the share was asked for
	topics   few.Map[string, *protocol.Topic] // by id
	deadline time.Time
	number   uint64
	waiter   *protocol.Waiter
	handle   *routing.PollHandle
	alive    time.Time // when the client was last known to be there
	done     <-chan struct{}
	waited   bool
	question func() pollStep // looks for the answer to one that is under way
	patience time.Duration   // with it
	ended    waitEnd         // how the last wait ended
	share    routing.GroupShare
	at       []group.PartitionOffset // positions, one per assigned partition
	from     []group.PartitionOffset // the same before the last read
	got      gathered                // by the last read
	waits    []*routing.Leadership   // where the waiter is parked
	first    bool                    // the cursor has not been used yet
}

// Poll implements one GET /events; see pollSession.
func (fr *Front) Poll(req *protocol.PollRequest, done <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
	s := fr.startPoll(req, done)
	for {
		reply, waits, err := s.Advance()
		if !waits {
			return reply, err
		}
		woken := make(chan struct{})
		s.Park(func() { close(woken) })
		<-woken
	}
}

// StartPoll begins a poll that its caller carries on; see protocol.PendingPoll.
func (fr *Front) StartPoll(req *protocol.PollRequest, done <-chan struct{}) protocol.PendingPoll {
	return fr.startPoll(req, done)
}

func (fr *Front) startPoll(req *protocol.PollRequest, done <-chan struct{}) *pollSession {
	now := time.Now()
	return &pollSession{front: fr, req: req, done: done, deadline: now.Add(req.Timeout), alive: now, first: true, got: gathered{sink: req.Sink}}
}

// Advance implements protocol.PendingPoll.
func (s *pollSession) Advance() (*protocol.PollReply, bool, *protocol.Error) {
	reply, waits, err := s.advance()
	if !waits {
		s.unpark()
	}
	return reply, waits, err
}

func (s *pollSession) advance() (reply *protocol.PollReply, waits bool, err *protocol.Error) {
	if s.parked && s.look() {
		return nil, true, nil
	}
	if s.waiter == nil {
		if err := s.subscribe(); err != nil {
			return nil, false, err
		}
	}
	step := pollStep{}
	if s.question != nil {
		step = s.question()
	} else {
		step = s.round()
	}
	for step.again {
		s.ended = waitShareChanged
		step = s.round()
	}
	return step.reply, step.waits, s.afterAck(step.err)
}

// afterAck makes an error tell that the acknowledged offsets are committed all
// the same: the group took them with the first answer that it gave, and what
// failed came later.
func (s *pollSession) afterAck(err *protocol.Error) *protocol.Error {
	if err == nil || s.req.Ack == "" || s.first || err.Outcome == protocol.OutcomeUnknown {
		return err
	}
	return err.WithOutcome(protocol.OutcomeApplied)
}

// subscribe resolves topics, consumer and group.
func (s *pollSession) subscribe() *protocol.Error {
	for _, name := range s.req.Topics {
		t, err := s.front.LookupTopic(s.req.Cluster, name, true, time.Now().Add(s.front.opt.RequestTimeout))
		if err != nil {
			return err
		}
		h := routing.Of(t).Cluster
		if s.h != nil && s.h != h {
			return protocol.Errorf(protocol.CodeAmbiguousTopic, "the topics of one poll must be in one cluster")
		}
		s.h = h
		s.topics.Set(t.ID, t)
	}
	if s.req.Resume && s.req.ConsumerID == 0 {
		if err := s.resume(); err != nil {
			return err
		}
	}
	if s.req.ConsumerID == 0 {
		id, err := s.front.freshConsumerID(s.h)
		if err != nil {
			return err
		}
		s.req.ConsumerID = id
	}
	if s.req.Group == "" {
		s.req.Group = "consumer-" + strconv.FormatInt(int64(s.req.ConsumerID), 10)
	}
	if s.req.SessionTimeout == 0 {
		s.req.SessionTimeout = s.front.opt.SessionTimeout
	}
	if s.number = s.req.Number; s.number == 0 {
		s.number = s.front.polls.Next() + 1
	}
	s.waiter = protocol.NewWaiter(func() { s.wake(waitWake) })
	return nil
}

// resume makes the request one of the consumer that its cursor was made for.
func (s *pollSession) resume() *protocol.Error {
	c, err := group.DecodeCursor(s.req.After)
	if err != nil {
		return err
	}
	s.req.ConsumerID = c.ConsumerID
	if s.req.Group == "" {
		s.req.Group = c.Group
	}
	return nil
}

// round does one pass: share, read, deliver, or wait if there is nothing.
func (s *pollSession) round() pollStep {
	switch s.ended {
	case waitSuperseded:
		return pollStep{reply: s.nothing()}
	case waitClientGone:
		s.end()
		return pollStep{reply: s.nothing()}
	case waitNone, waitShareChanged:
		if s.ended == waitShareChanged && s.req.Announce {
			s.deadline = time.Now()
		}
		return s.askShare()
	}
	return s.readOn()
}

// readOn reads where the poll stands.
func (s *pollSession) readOn() pollStep {
	if err := s.read(); err != nil {
		s.end()
		return pollStep{err: err}
	}
	if s.got.count == 0 && s.ended != waitOver && time.Now().Before(s.deadline) {
		return pollStep{waits: true}
	}
	// A coordinator that is slow to answer is waited for, too.
	if s.got.count > 0 && (s.waited || time.Since(s.alive) > minAliveInterval) && s.clientGone() {
		s.end()
		return pollStep{reply: s.nothing()}
	}
	return s.deliver(s.got.count > 0)
}

// Delivered answers with what was read, which has been noted, and committed if
// that was asked for.
func (s *pollSession) delivered(a routing.GroupCursor, err *protocol.Error) pollStep {
	switch {
	case err == nil:
		return pollStep{reply: s.reply(a.Cursor)}
	case s.superseded():
		return pollStep{reply: s.nothing()}
	case err.Code == protocol.CodeStaleGeneration && time.Now().Before(s.deadline.Add(s.front.opt.RequestTimeout)):
		return pollStep{again: true} // rebalanced in between: nothing was delivered
	case err.Code == protocol.CodeStaleGeneration && (err.Outcome != protocol.OutcomeUnknown || !s.req.AutoCommit || s.got.count == 0):
		return pollStep{reply: s.nothing()} // the client named no generation that could be stale
	case err.Code == protocol.CodeStaleGeneration:
		return pollStep{err: protocol.Unknownf("nobody confirmed in time that the offsets were committed")}
	}
	return pollStep{err: err}
}

// nothing is the answer without records.
func (s *pollSession) nothing() *protocol.PollReply {
	s.got.forget()
	return s.reply(nil)
}

// reply is the answer with what was read.
func (s *pollSession) reply(c *group.Cursor) *protocol.PollReply {
	records := s.got.records
	if records == nil {
		records = []protocol.Record{}
	}
	reply := &protocol.PollReply{
		ConsumerID: s.req.ConsumerID, Group: s.req.Group, Generation: s.share.Generation,
		Records: records, TimedOut: s.got.count == 0 && !s.superseded(),
		Number: s.number, Superseded: s.handle.Signal() == routing.PollSuperseded,
	}
	if c == nil {
		return reply
	}
	reply.Cursor = group.EncodeCursor(c)
	if s.req.RecordCursors {
		reply.Cursors = s.recordCursors(records, *c)
	}
	return reply
}

// recordCursors makes a cursor after each record: streams resume between two
// records, not only between two responses.
func (s *pollSession) recordCursors(records []protocol.Record, c group.Cursor) []string {
	cursors := make([]string, len(records))
	c.Positions = make([]group.CursorPosition, len(s.from))
	for i, o := range s.from {
		c.Positions[i] = group.CursorPosition{TopicID: o.TopicID, Partition: o.Partition, Offset: o.Offset}
	}
	for i := range records {
		r := &records[i]
		for j, o := range s.from {
			if o.Topic == r.Topic && o.Partition == r.Partition {
				c.Positions[j].Offset = r.Offset + 1
			}
		}
		cursors[i] = group.EncodeCursor(&c)
	}
	return cursors
}

// askShare joins or renews, and works out where to read from.
func (s *pollSession) askShare() pollStep {
	topics := make([]group.SubscribedTopic, 0, s.topics.Len())
	s.routes = s.h.Table()
	for _, t := range s.topics.All() {
		now := s.routes.Topics[t.Name]
		if now == nil || now.ID != t.ID {
			if !s.first {
				s.end()
			}
			return s.noShare(topicNotFound(t.Name))
		}
		t = now // partitions may have been added
		s.topics.Set(t.ID, t)
		topics = append(topics, group.SubscribedTopic{Name: t.Name, ID: t.ID, Partitions: t.Partitions})
	}
	ack, first := s.req.Ack, s.first
	if !first {
		ack = ""
	}
	s.handle = &routing.PollHandle{Number: s.number, Waiter: s.waiter}
	wait := max(0, time.Until(s.deadline))
	return askThen(s, func(f protocol.Future[routing.GroupShare]) routing.Question {
		return &routing.GroupPoll{
			Consumer: s.req.ConsumerID, Topics: topics, SessionMs: s.req.SessionTimeout.Milliseconds(),
			WaitMs: wait.Milliseconds(), Ack: ack, After: s.req.After, Continue: s.req.Continue || !first,
			Handle: s.handle, Reply: f,
		}
	}, func(a routing.GroupShare) *protocol.Error { return a.Err }, s.hasShare)
}

func (s *pollSession) hasShare(share routing.GroupShare, err *protocol.Error) pollStep {
	if err != nil {
		return s.noShare(err)
	}
	s.share, s.first = share, false
	return s.place()
}

// noShare ends a poll that was not told what to read.
func (s *pollSession) noShare(err *protocol.Error) pollStep {
	if s.superseded() {
		return pollStep{reply: s.nothing()}
	}
	return pollStep{err: err}
}

// Place finds the position on every assigned partition: after the cursor, at
// the committed offset, or where the group starts, which is then committed.
func (s *pollSession) place() pollStep {
	s.at = s.at[:0]
	var starts []group.PartitionOffset
	for _, a := range s.share.Assigned {
		o := group.PartitionOffset{Topic: a.Topic, TopicID: a.TopicID, Partition: a.Partition}
		switch {
		case a.Committed != nil:
			o.Offset = *a.Committed
		default:
			at, err := s.front.startOffset(s.topics.At(a.TopicID), a.Partition, s.req.From)
			if err != nil {
				return s.noShare(err)
			}
			o.Offset = at
			starts = append(starts, o)
		}
		s.at = append(s.at, o)
	}
	if len(starts) > 0 {
		return s.commitStarts(starts)
	}
	return s.placed()
}

// commitStarts resolves the start once and for all.
func (s *pollSession) commitStarts(starts []group.PartitionOffset) pollStep {
	return askThen(s, func(f protocol.Future[routing.GroupOffsets]) routing.Question {
		return &routing.GroupStart{Consumer: s.req.ConsumerID, Generation: s.share.Generation, Starts: starts, Reply: f}
	}, func(a routing.GroupOffsets) *protocol.Error { return a.Err }, s.hasStarts)
}

func (s *pollSession) hasStarts(held routing.GroupOffsets, err *protocol.Error) pollStep {
	switch {
	case err != nil && err.Code == protocol.CodeStaleGeneration:
		return s.askShare() // it has changed meanwhile
	case err != nil:
		return s.noShare(err)
	}
	for _, o := range held.Offsets {
		if i := slices.IndexFunc(s.at, func(p group.PartitionOffset) bool { return p.Key() == o.Key() }); i >= 0 {
			s.at[i].Offset = o.Offset
		}
	}
	return s.placed()
}

// placed begins to read.
func (s *pollSession) placed() pollStep {
	for i := range s.at {
		for _, c := range s.share.After {
			if c.TopicID == s.at[i].TopicID && c.Partition == s.at[i].Partition {
				s.at[i].Offset = c.Offset
			}
		}
	}
	return s.readOn()
}

// read collects records from the assigned partitions, beginning with another
// one each time so that none starves, and moves the positions past them. While
// a partition has no leader the others are read; only if they have nothing is
// the leader waited for.
func (s *pollSession) read() *protocol.Error {
	s.got.forget()
	s.from = append(s.from[:0], s.at...)
	leaderless, err := s.readAll(0)
	if err == nil && s.got.count == 0 && leaderless {
		_, err = s.readAll(routing.FailoverPatience)
	}
	if err != nil {
		return err
	}
	return keepRoom(s.req.Room, s.got.bytes)
}

// readAll is one pass over the partitions. Without patience those that have no
// leader are left out, and reported.
func (s *pollSession) readAll(patience time.Duration) (leaderless bool, err *protocol.Error) {
	left, bytes, roomy := s.req.MaxRecords, s.req.MaxBytes, false
	if len(s.at) == 0 {
		return false, nil
	}
	turn := int(s.h.Turns.Next() % uint64(len(s.at)))
	for i := range s.at {
		o := &s.at[(turn+i)%len(s.at)]
		if left <= 0 || bytes <= 0 {
			break
		}
		t := s.topics.At(o.TopicID)
		if t == nil {
			continue
		}
		v, ref, err := s.front.view(t, o.Partition, patience)
		if err != nil && patience == 0 {
			leaderless = true
			continue
		}
		if err != nil {
			return true, err
		}
		if int64(o.Offset) >= v.HighWatermark() {
			continue
		}
		if !roomy {
			if bytes, err = takeRoom(s.req.Room, s.need(turn+i, len(s.at)-i), s.req.MaxBytes); err != nil {
				return false, err
			}
			roomy = true
		}
		before, size := s.got.count, s.got.bytes
		if s.ended == waitWoken {
			s.got.waited = ref
		}
		err = s.got.read(v, o.Topic, o.Partition, int64(o.Offset), left, bytes)
		if err == errStaleView {
			continue // the next look takes a newer one
		}
		if err != nil {
			return false, err
		}
		left -= s.got.count - before
		bytes -= s.got.bytes - size
		if s.got.count > before {
			countFetched(t, o.Partition, s.got.count-before, s.got.bytes-size)
			o.Offset = s.got.last + 1
		} else {
			o.Offset = protocol.Offset(v.HighWatermark()) // compaction left nothing up to there
		}
	}
	return leaderless, nil
}

// need is about how many bytes there are to read in so many partitions, the
// first of them at turn.
func (s *pollSession) need(turn, partitions int) int {
	sum, left := 0, int64(s.req.MaxRecords)
	for i := range partitions {
		o := &s.at[(turn+i)%len(s.at)]
		t := s.topics.At(o.TopicID)
		if t == nil || left <= 0 || sum >= s.req.MaxBytes {
			continue
		}
		v, _, err := s.front.view(t, o.Partition, 0)
		if err != nil || int64(o.Offset) >= v.HighWatermark() {
			continue
		}
		sum += estimate(v, int64(o.Offset), int(left), s.req.MaxBytes)
		left -= v.HighWatermark() - int64(o.Offset)
	}
	return min(sum, s.req.MaxBytes+s.req.MaxRecords*recordOverhead)
}

// deliver has the group note the positions, durably with auto_commit, before
// the response is sent.
func (s *pollSession) deliver(any bool) pollStep {
	positions := slices.Clone(s.at)
	return askThen(s, func(f protocol.Future[routing.GroupCursor]) routing.Question {
		return &routing.GroupDelivered{
			Consumer: s.req.ConsumerID, Generation: s.share.Generation, Positions: positions,
			Commit: s.req.AutoCommit && any, Handle: s.handle, Reply: f,
		}
	}, func(a routing.GroupCursor) *protocol.Error { return a.Err }, s.delivered)
}

// String helps in logs.
func (s *pollSession) String() string {
	return fmt.Sprintf("poll(group=%s consumer=%d)", s.req.Group, s.req.ConsumerID)
}

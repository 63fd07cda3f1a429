package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/budget"
	"ottla/protocol"
)

// minBytesInterval is how often a fetch looks that waits for more than the records
// that there are.
const minBytesInterval = 10 * time.Millisecond

// share is the memory of the records of one partition in an answer.
type share struct{ budget.Share }

// release gives back the memory of the last answer.
func (c *conn) release() {
	for _, s := range c.shares {
		s.Release()
	}
	c.shares = c.shares[:0]
}

// fetchPart is one partition of a fetch.
type fetchPart struct {
	topic   *protocol.Topic
	ask     *kmsg.FetchRequestTopicPartition
	out     *kmsg.FetchResponseTopicPartition
	pending protocol.PendingFetch
	left    chan struct{}
	begun   bool // the read has taken its first step
	waits   bool // it has not brought its answer yet
	writer  *batchWriter
}

// fetch reads partitions, and waits for records if there are none.
func (c *conn) fetch(req *kmsg.FetchRequest) *kmsg.FetchResponse {
	resp := answerTo[*kmsg.FetchResponse](req)
	if req.SessionID != 0 && req.SessionEpoch > 0 { // there are no sessions: clients send whole fetches
		resp.ErrorCode = errFetchSessionIDNotFound
		return resp
	}
	c.pace(func(u *protocol.Usage) *protocol.Error { return u.Fetch(time.Now()) })
	wait := min(time.Duration(max(req.MaxWaitMillis, 0))*time.Millisecond, c.srv.o.MaxWait)
	f := fetchWork{c: c, deadline: time.Now().Add(wait), maxBytes: min(int(req.MaxBytes), c.srv.o.MaxBytes), minBytes: int(req.MinBytes)}
	f.open(req, resp)
	f.run()
	c.who.Usage().Fetched(f.got, time.Now())
	return resp
}

// fetchWork is a fetch that is under way.
type fetchWork struct {
	c                  *conn
	deadline           time.Time
	maxBytes, minBytes int
	parts              []fetchPart
	got                int // bytes of records
	failed             bool
}

// open resolves what is asked for.
func (f *fetchWork) open(req *kmsg.FetchRequest, resp *kmsg.FetchResponse) {
	resp.Topics = make([]kmsg.FetchResponseTopic, len(req.Topics))
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	f.parts = make([]fetchPart, 0, n)
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		out.Topic, out.TopicID = t.Topic, t.TopicID
		out.Partitions = make([]kmsg.FetchResponseTopicPartition, len(t.Partitions))
		topic, code := f.c.readable(t.Topic, t.TopicID, req.Version >= 13)
		for j := range t.Partitions {
			p := &out.Partitions[j]
			p.Default()
			p.Partition, p.ErrorCode, p.RecordBatches = t.Partitions[j].Partition, code, []byte{}
			p.HighWatermark, p.LastStableOffset, p.LogStartOffset = -1, -1, -1
			if code == errNone && (p.Partition < 0 || int(p.Partition) >= topic.Partitions) {
				p.ErrorCode = errUnknownTopicOrPartition
			}
			if p.ErrorCode != errNone {
				f.failed = true
				continue
			}
			f.parts = append(f.parts, fetchPart{topic: topic, ask: &t.Partitions[j], out: p})
		}
	}
}

// readable finds a topic that may be read, by its name or its id.
func (c *conn) readable(name string, id [16]byte, byID bool) (*protocol.Topic, int16) {
	if byID {
		var known bool
		if name, known = c.srv.ids.name(c, id); !known {
			return nil, errUnknownTopicID
		}
	}
	t, err := c.view(protocol.RightRead).LookupTopic(c.srv.o.Cluster, name, false, time.Time{})
	switch {
	case err != nil:
		return nil, topicError(err)
	case byID && !c.srv.ids.is(t, id):
		return nil, errUnknownTopicID
	}
	return t, errNone
}

// run reads until there is enough, something is wrong, or the time is up.
func (f *fetchWork) run() {
	f.read(0)
	for f.got < max(f.minBytes, 1) && !f.failed && len(f.parts) > 0 {
		left := time.Until(f.deadline)
		if left <= 0 {
			return
		}
		if f.got == 0 {
			f.read(left)
			continue
		}
		select {
		case <-time.After(min(left, minBytesInterval)):
		case <-f.c.srv.done:
			return
		}
		f.read(0)
	}
}

// read reads all partitions from where they were asked for, and waits until one has
// something.
func (f *fetchWork) read(wait time.Duration) {
	f.c.release()
	f.got = 0
	wake := make(chan struct{}, 1)
	resume := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	b := f.c.view(protocol.RightRead)
	for i := range f.parts {
		f.parts[i].begin(f, b, wait)
	}
	for {
		waits := false
		for i := range f.parts {
			waits = f.advance(&f.parts[i]) || waits
		}
		if !waits {
			return
		}
		if f.got > 0 || f.failed {
			break
		}
		for i := range f.parts {
			if p := &f.parts[i]; p.waits {
				p.pending.Park(resume)
			}
		}
		select {
		case <-wake:
		case <-f.c.srv.done:
			f.failed = true // nothing is wrong, but nobody waits any more
		}
	}
	for i := range f.parts {
		if p := &f.parts[i]; p.waits {
			p.abandon()
		}
	}
}

func (p *fetchPart) begin(f *fetchWork, b Backend, wait time.Duration) {
	s := &share{f.c.srv.o.Answers.Share()}
	f.c.shares = append(f.c.shares, s)
	p.writer, p.left, p.waits, p.begun = &batchWriter{}, make(chan struct{}), true, false
	p.pending = b.StartFetch(&protocol.FetchRequest{
		Topic: p.topic, Partition: int(p.ask.Partition), Offset: protocol.Offset(p.ask.FetchOffset),
		MaxRecords: 1 << 20, MaxBytes: max(min(int(p.ask.PartitionMaxBytes), f.maxBytes), 1),
		Timeout: wait, Left: p.left, Room: s, Sink: p.writer, Impatient: true,
	})
}

// advance takes the next step of a partition's read; true if it waits.
func (f *fetchWork) advance(p *fetchPart) bool {
	if !p.waits {
		return false
	}
	if f.got >= f.maxBytes && f.got > 0 { // the answer is full: the client asks for the others first the next time
		if p.begun {
			p.abandon()
			return false
		}
		p.waits = false
		p.describe(f.c.view(protocol.RightRead))
		return false
	}
	p.begun = true
	reply, waits, err := p.pending.Advance()
	if waits {
		return true
	}
	p.waits = false
	if err != nil {
		p.out.ErrorCode = topicError(err)
		f.failed = true
		return false
	}
	p.out.HighWatermark, p.out.LastStableOffset, p.out.LogStartOffset = int64(reply.HighWatermark), int64(reply.HighWatermark), int64(reply.Earliest)
	if p.ask.FetchOffset > int64(reply.HighWatermark) {
		p.out.ErrorCode = errOffsetOutOfRange
		f.failed = true
		return false
	}
	p.out.RecordBatches = p.writer.bytes()
	if p.writer.count == 0 && int64(reply.NextOffset) > p.ask.FetchOffset { // compaction has left nothing up to there
		p.out.RecordBatches = emptyBatch(protocol.Offset(p.ask.FetchOffset), reply.NextOffset-1)
	}
	f.got += len(p.out.RecordBatches)
	return false
}

// describe says where a partition begins and ends of which nothing is read.
func (p *fetchPart) describe(b Backend) {
	earliest, latest, err := b.PartitionOffsets(p.topic, int(p.ask.Partition))
	if err != nil {
		p.out.ErrorCode = topicError(err)
		return
	}
	p.out.HighWatermark, p.out.LastStableOffset, p.out.LogStartOffset = int64(latest), int64(latest), int64(earliest)
}

// abandon ends a read that waits, so that nobody wakes it any more.
func (p *fetchPart) abandon() {
	close(p.left)
	p.waits = false
	done := make(chan struct{}, 1)
	p.pending.Park(func() { done <- struct{}{} })
	<-done
	if reply, _, err := p.pending.Advance(); err == nil && reply != nil {
		p.out.HighWatermark, p.out.LastStableOffset, p.out.LogStartOffset = int64(reply.HighWatermark), int64(reply.HighWatermark), int64(reply.Earliest)
	}
}

package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/budget"
	"ottla/protocol"
)

const (
	// minBytesInterval is how often a fetch looks that waits for more than the records
	// that there are.
	minBytesInterval = 10 * time.Millisecond
	// departureInterval is how often a fetch that waits looks whether its client has left.
	departureInterval = 2 * time.Second
	// leastLineBytes is a size that hardly any record's line is below.
	leastLineBytes = 64
	// What a fetch has in memory while it waits, in bytes.
	fetchTopicBytes, fetchPartBytes = 256, 768
)

// recordHandlers answer produces, fetches and questions about offsets. They belong to the
// goroutine of the connection; shares are looked at by the budget of answers as well, which
// has a lock for that.
type recordHandlers struct {
	*caller
	socket  *socket
	memory  *memory
	account *budget.Account // what they count towards; nil until there is one
	paysAs  string          // whose that is
	address string          // of the client, as HTTP counts it; empty: not asked for yet
	shares  []*share        // of the answer that is being made
	ahead   ahead
	waits   func() // leave, made once
}

// share is the memory of the records of one partition in an answer.
type share struct{ budget.Share }

// newShare is one that counts towards what the client may have. Its connection is not
// ended before the answer is sent, because a fetch may wait long with a part of it.
func (h *recordHandlers) newShare() *share {
	who := h.payer()
	if h.account == nil || h.paysAs != who {
		h.account.Close()
		h.account, h.paysAs = h.srv.o.Answers.Account(who), who
	}
	return &share{budget.ShareOf(h.account, nil)}
}

// payer is as whom the client's answers count.
func (h *recordHandlers) payer() string {
	if name := h.who.Name(); name != "" {
		return "token " + name
	}
	if h.address == "" {
		h.address = budget.AddressOf(h.socket.nc.RemoteAddr())
	}
	return h.address
}

// pay counts an answer without records, if it is not small.
func (h *recordHandlers) pay(bytes int) {
	if bytes > keptAnswer {
		s := h.newShare()
		s.Set(int64(bytes))
		h.shares = append(h.shares, s)
	}
}

// sending says that the answer is on its way to the client, who has to take it.
func (h *recordHandlers) sending() {
	for _, s := range h.shares {
		s.SendBy(h.socket)
	}
}

// release gives back the memory of the last answer.
func (h *recordHandlers) release() {
	for _, s := range h.shares {
		s.Release()
	}
	h.shares = h.shares[:0]
}

// fetchPart is one partition of a fetch. Its read runs on the connection's goroutine, step by
// step (see protocol.Pending); only the call that wakes it comes from another one.
type fetchPart struct {
	topic   *protocol.Topic
	ask     *kmsg.FetchRequestTopicPartition
	out     *fetchedPartition
	pending protocol.PendingFetch
	reply   protocol.FetchReply // without records
	left    chan struct{}
	parked  bool // Park was called since the last Advance: somebody may be about to wake the read
	waits   bool // it has not brought its answer yet
	writer  batchWriter
}

// fetch reads partitions, and waits for records if there are none.
//
// There are no sessions (KIP-227): answers have session 0, upon which clients name all
// partitions in each fetch. Whoever comes with a session, of a Kafka cluster at the same
// address before, is told that it is not found, and begins anew.
//
// The decoded request needs less than what was taken to decode it, so all but that is given
// back: a fetch may wait for as long as MaxWait, and thousands of consumers do so at a time.
func (h *recordHandlers) fetch(req *kmsg.FetchRequest) kmsg.Response {
	if req.SessionID != 0 && req.SessionEpoch > 0 { // there are no sessions: clients send whole fetches
		return refusedFetch(req, errFetchSessionIDNotFound)
	}
	n := 0
	for i := range req.Topics {
		n += len(req.Topics[i].Partitions)
	}
	h.memory.keep(int64(len(req.Topics))*fetchTopicBytes + int64(n)*fetchPartBytes + firstBytes)
	if !h.pace(time.Time{}, (*protocol.Usage).Fetch) || !h.enter(time.Now().Add(h.srv.o.RequestTimeout)) {
		return refusedFetch(req, errRequestTimedOut)
	}
	wait := min(time.Duration(max(req.MaxWaitMillis, 0))*time.Millisecond, h.srv.o.MaxWait)
	f := fetchWork{h: h, deadline: time.Now().Add(wait), maxBytes: min(int(req.MaxBytes), h.srv.o.MaxBytes), minBytes: int(req.MinBytes)}
	resp := &fetchAnswer{FetchResponse: answerTo[*kmsg.FetchResponse](req), topics: make([]fetchedTopic, len(req.Topics))}
	f.open(req, resp, n)
	f.run()
	if len(f.parts) == 1 && f.parts[0].out.code == errNone {
		h.ahead.follow(&f.parts[0], &f.parts[0].reply, h.arrived)
	}
	for i := range f.parts {
		p := &f.parts[i]
		p.out.records = h.srv.deflated(&p.writer, req.Version)
		resp.take(&p.writer)
	}
	h.usage().Fetched(f.got, time.Now())
	return resp
}

// refusedFetch answers a fetch as a whole. Versions below 7 have no code for that: to
// them there is just nothing. A code that Kafka does not have for partitions of a fetch
// (REQUEST_TIMED_OUT) may stand here only: poll of Java's consumer throws at one that it does
// not expect there, and at one for the whole the client asks again.
func refusedFetch(req *kmsg.FetchRequest, code int16) kmsg.Response {
	resp := answerTo[*kmsg.FetchResponse](req)
	resp.ErrorCode = code
	return resp
}

// fetchWork is a fetch that is under way.
type fetchWork struct {
	h                  *recordHandlers
	deadline           time.Time
	maxBytes, minBytes int
	parts              []fetchPart
	got                int       // bytes of records
	looked             time.Time // when the client was there the last time
	failed             bool
}

// open resolves what is asked for: n partitions.
func (f *fetchWork) open(req *kmsg.FetchRequest, resp *fetchAnswer, n int) {
	f.parts = make([]fetchPart, 0, n)
	all := make([]fetchedPartition, n)
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.topics[i]
		out.name, out.id = t.Topic, t.TopicID
		out.partitions, all = all[:len(t.Partitions)], all[len(t.Partitions):]
		topic, code := f.h.readable(t.Topic, t.TopicID, req.Version >= 13)
		for j := range t.Partitions {
			p := &out.partitions[j]
			*p = fetchedPartition{index: t.Partitions[j].Partition, code: code, end: -1, start: -1}
			if code == errNone && (p.index < 0 || int(p.index) >= topic.Partitions) {
				p.code = errUnknownTopicOrPartition
			}
			if p.code != errNone {
				continue
			}
			f.parts = append(f.parts, fetchPart{topic: topic, ask: &t.Partitions[j], out: p})
		}
	}
}

// run reads until there is enough, something is wrong, or the time is up. What is wrong
// with a partition that is not there does not keep others from waiting.
//
// The first record is waited for without polling. Clients that want more than one (MinBytes)
// are rare, and batches are made anew by each read, so what is there already would be read
// again for each record that comes. Therefore it only looks where the partitions end, every 10
// ms, and reads once more when that is likely to be enough, or the time is nearly up.
func (f *fetchWork) run() {
	wait := time.Until(f.deadline)
	if f.minBytes <= 0 {
		wait = 0
	}
	f.read(wait)
	interval := minBytesInterval
	for f.got < min(f.minBytes, f.maxBytes) && !f.failed && len(f.parts) > 0 {
		left := time.Until(f.deadline)
		f.h.leave()
		select {
		case <-time.After(min(left, interval)):
		case <-f.h.srv.done:
			return
		case <-f.h.who.Ended():
			return
		}
		if f.departed() {
			return
		}
		if more, enough := f.grown(); enough || more && left <= interval {
			f.read(0)
			interval *= 2 // so that a guess that is wrong costs little
		}
		if left <= interval {
			return
		}
	}
}

// grown reports whether there is more than was read, and whether it is likely to be
// enough: new records are taken to be as large as those that were read are on average.
func (f *fetchWork) grown() (more, enough bool) {
	b := f.h.view(protocol.RightRead)
	records, bytes := 0, 0
	for i := range f.parts {
		records += f.parts[i].writer.count
		bytes += f.parts[i].writer.size()
	}
	expected := 0
	for i := range f.parts {
		p := &f.parts[i]
		f.describe(p, b)
		if p.out.code != errNone {
			return true, true
		}
		now := max(p.out.end-p.ask.FetchOffset, 0)
		more = more || now > int64(p.writer.count)
		expected += int(min(now*int64(bytes)/int64(max(records, 1)), int64(p.ask.PartitionMaxBytes)))
	}
	return more, more && expected >= f.minBytes
}

// read reads all partitions from where they were asked for, and waits until one has
// something. They are read in the client's order until the answer is full: clients name those
// last that have been in an answer. The first record is in the answer even if it is larger than
// what was asked for, so that none is too large to be read (KIP-74). Where an answer is full,
// the other partitions still say where they end, by which clients measure their lag.
func (f *fetchWork) read(wait time.Duration) {
	f.h.release()
	f.got = 0
	b := f.h.view(protocol.RightRead)
	for i := range f.parts {
		p := &f.parts[i]
		p.writer.Forget()
		p.waits, p.parked = true, false
		if f.got >= f.maxBytes && f.got > 0 { // the answer is full: the client asks for the others first the next time
			p.waits = false
			f.describe(p, b)
			continue
		}
		p.begin(f, b, wait)
		f.advance(p)
	}
	if f.got > 0 || f.failed {
		return
	}
	f.await(wait)
}

// await waits until a read that waits so long has something. Wake has room for one call and
// resume never blocks, because it is called on the goroutine of a partition. One call stands for
// any number: all reads take a step then.
func (f *fetchWork) await(wait time.Duration) {
	wake := make(chan struct{}, 1)
	resume := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	var look <-chan time.Time
	if wait > departureInterval {
		tick := time.NewTicker(departureInterval)
		defer tick.Stop()
		look = tick.C
	}
	for f.got == 0 && !f.failed {
		waits := false
		for i := range f.parts {
			if p := &f.parts[i]; p.waits {
				p.pending.Park(resume)
				p.parked, waits = true, true
			}
		}
		if !waits {
			return
		}
		f.h.leave()
		f.doze(wake, look)
	}
	for i := range f.parts {
		if p := &f.parts[i]; p.waits {
			p.abandon()
		}
	}
}

// doze waits until a read may have something, and takes the next step of all. The end of the
// time is such a call, too, and the end of the token: each read knows both.
func (f *fetchWork) doze(wake <-chan struct{}, look <-chan time.Time) {
	for !f.failed {
		select {
		case <-look:
			f.failed = f.departed() // nothing is wrong, but nobody waits any more
		case <-f.h.srv.done:
			f.failed = true // likewise
		case <-wake:
			for i := range f.parts {
				if p := &f.parts[i]; f.got < f.maxBytes {
					f.advance(p)
				}
			}
			return
		}
	}
}

// departed reports whether the client has left; it looks from time to time.
func (f *fetchWork) departed() bool {
	if now := time.Now(); now.Sub(f.looked) >= departureInterval/2 {
		f.looked = now
		return f.h.socket.gone()
	}
	return false
}

// begin starts the read of a partition, unless it was made ahead. What was made for another
// place is of no use then, and gives its memory back. A partition without a leader is an error
// at once (Impatient): other partitions have records meanwhile, and the client asks anew.
func (p *fetchPart) begin(f *fetchWork, b Backend, wait time.Duration) {
	most := max(min(int(p.ask.PartitionMaxBytes), f.maxBytes-f.got), 1)
	if f.takeAhead(p, b, most) {
		return
	}
	f.h.forgetAhead()
	s := f.h.newShare()
	f.h.shares = append(f.h.shares, s)
	p.writer.most = most
	p.left = make(chan struct{})
	p.pending = b.StartFetch(&protocol.FetchRequest{
		Topic: p.topic, Partition: int(p.ask.Partition), Offset: protocol.Offset(p.ask.FetchOffset),
		MaxRecords: most/leastLineBytes + 1, MaxBytes: most,
		Timeout: wait, Left: p.left, Room: s, Sink: &p.writer, Impatient: true,
	})
}

// advance takes the next step of a partition's read. An error ends the waiting of all: the
// client has to hear of it, and looks for another leader.
//
// An offset beyond the end is out of range, upon which clients reset theirs
// (auto.offset.reset). That is safe, because a leader serves only when it knows all that was
// committed before it: what is beyond its end never was. Where compaction has left nothing
// behind the offset, a batch without records says so, or the client would ask for ever.
func (f *fetchWork) advance(p *fetchPart) {
	if !p.waits {
		return
	}
	p.parked = false
	reply, waits, err := p.pending.Advance()
	if reply != nil {
		p.out.end, p.out.start = int64(reply.HighWatermark), int64(reply.Earliest)
	}
	if waits {
		return
	}
	p.waits = false
	if reply != nil {
		p.reply = *reply
		p.reply.Records = nil
	}
	if err != nil {
		p.out.code = topicError(err)
		f.failed = true
		return
	}
	if p.ask.FetchOffset > int64(reply.HighWatermark) {
		p.out.code = errOffsetOutOfRange
		f.failed = true
		return
	}
	if p.writer.count == 0 && int64(reply.NextOffset) > p.ask.FetchOffset { // compaction has left nothing up to there
		p.writer.empty(protocol.Offset(p.ask.FetchOffset), reply.NextOffset-1)
	}
	f.got += p.writer.size()
}

// describe says where a partition begins and ends now, or did when it was read.
func (f *fetchWork) describe(p *fetchPart, b Backend) {
	reply, _, err := b.StartFetch(&protocol.FetchRequest{
		Topic: p.topic, Partition: int(p.ask.Partition), Offset: protocol.Offset(p.ask.FetchOffset), Impatient: true,
	}).Advance()
	switch {
	case err == nil:
		p.out.end, p.out.start = int64(reply.HighWatermark), int64(reply.Earliest)
	case p.out.end < 0:
		p.out.code = topicError(err)
	}
}

// abandon ends a read that has been parked once and still waits, so that the leader keeps no
// waiter of it. Only a read that is parked looks whether its client has left; and one that is
// must not be parked again, because somebody may be about to wake it.
func (p *fetchPart) abandon() {
	close(p.left)
	p.waits = false
	if !p.parked {
		p.pending.Park(func() {})
	}
	_, _, _ = p.pending.Advance()
}

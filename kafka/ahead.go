package kafka

import (
	"time"

	"ottla/protocol"
)

const (
	// aheadPatience is how long what was read ahead waits for the client to ask for it.
	aheadPatience = 100 * time.Millisecond
	// aheadPause is the longest pause between an answer and the next fetch of a client for
	// which it pays: longer ones hide what a read costs.
	aheadPause = 20 * time.Millisecond
)

// ahead makes the next answer for a client that reads a partition from end to end, while
// the client is busy with the last one: neither waits for the other then. It is for who
// has gone on where the last answer ended, soon after it, and finds more there.
//
// It belongs to the connection's goroutine, which reads ahead after it has sent an answer, and
// before it looks for the next request: whoever sends another one instead waits for one read
// at most. What is ready is committed, and so never becomes wrong; it may be removed, or the
// partition led by another node, while it waits, which takeAhead finds out.
type ahead struct {
	topic     *protocol.Topic
	partition int32
	next      int64 // offset after the last answer
	most      int   // bytes that were asked for
	more      bool  // there is more than the last answer has
	wanted    bool  // the client is one of those
	away      bool  // another node leads the partition
	sent      time.Time

	ready  bool // what follows is made
	writer batchWriter
	share  *share
	reply  protocol.FetchReply
	made   time.Time
}

// follow notes what a fetch of one partition has brought.
func (a *ahead) follow(p *fetchPart, reply *protocol.FetchReply, now time.Time) {
	same := a.topic == p.topic && a.partition == p.ask.Partition
	a.away = same && a.away
	a.wanted = same && a.next == p.ask.FetchOffset && a.more && !a.away && now.Sub(a.sent) < aheadPause
	a.topic, a.partition, a.next, a.most = p.topic, p.ask.Partition, int64(reply.NextOffset), p.writer.most
	a.more = p.writer.count > 0 && reply.NextOffset < reply.HighWatermark
	a.wanted = a.wanted && a.more
}

// readAhead reads on behind an answer that was sent, if that pays and less than half of
// the memory for answers is used.
func (h *recordHandlers) readAhead() {
	a := &h.ahead
	a.sent = time.Now()
	if a.ready { // the fetch was refused
		if a.sent.Sub(a.made) > aheadPatience {
			h.forgetAhead()
		}
		return
	}
	if !a.wanted || h.unknown() || h.srv.o.Access != nil && h.ended() {
		return
	}
	a.wanted = false
	if who := h.who.Name(); who != "" {
		if !h.srv.o.Gate.Enter(who, a.sent, 0) {
			return
		}
		h.entered = who
		defer h.leave()
	}
	a.share = h.newShare()
	a.writer = batchWriter{most: a.most}
	reply, waits, err := h.view(protocol.RightRead).StartFetch(&protocol.FetchRequest{
		Topic: a.topic, Partition: int(a.partition), Offset: protocol.Offset(a.next),
		MaxRecords: a.most/leastLineBytes + 1, MaxBytes: a.most,
		Room: spareRoom{a.share}, Sink: &a.writer, Near: true,
	}).Advance()
	a.away = err == protocol.ErrAway
	if a.ready = !waits && err == nil && a.writer.count > 0 && reply.NextOffset > protocol.Offset(a.next); !a.ready {
		a.ready = true
		h.forgetAhead()
		return
	}
	a.reply, a.made = *reply, time.Now()
	a.reply.Records = nil
}

// forgetAhead gives back what was read ahead, if there is something.
func (h *recordHandlers) forgetAhead() {
	a := &h.ahead
	if !a.ready {
		return
	}
	a.ready = false
	if b := a.writer.buffer; b != nil {
		*b = a.writer.b
		keepBatch(b)
	}
	a.share.Release()
	a.writer, a.share = batchWriter{}, nil
}

// takeAhead gives a fetch what was read ahead, if it is what it asks for, and the
// partition is still there.
func (f *fetchWork) takeAhead(p *fetchPart, b Backend, most int) bool {
	a := &f.h.ahead
	if !a.ready || a.topic != p.topic || a.partition != p.ask.Partition || a.next != p.ask.FetchOffset || a.most != most || p.writer.buffer != nil {
		return false
	}
	f.describe(p, b)
	if p.out.code != errNone || p.out.start > p.ask.FetchOffset {
		p.out.code = errNone // the read says what is wrong, if anything is
		return false
	}
	p.writer, p.reply = a.writer, a.reply
	f.h.shares = append(f.h.shares, a.share)
	a.ready, a.writer, a.share = false, batchWriter{}, nil
	p.waits = false
	f.got += p.writer.size()
	return true
}

// spareRoom is memory for what nobody waits for.
type spareRoom struct{ *share }

// Take implements protocol.Room.
func (r spareRoom) Take(want int) (int, *protocol.Error) { return r.TakeSpare(want) }

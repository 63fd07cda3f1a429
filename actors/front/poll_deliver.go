package front

import (
	"math/rand/v2"
	"slices"
	"time"

	"ottla/actors/group"
	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/protocol"
)

// onDeliver has the group note the positions, durably with auto_commit, before the response
// is sent. Committed after it, records would come twice if there was a crash in between. In
// this order a client that has left misses them, so it is looked for before (onRead). One
// whose connection breaks while the response is on its way misses them all the same.
func (p *poll) onDeliver() pollState {
	noted, come, err := answerOf(p, (*poll).deliveryQuestion)
	if !come {
		return stateDeliver
	}
	return p.delivered(noted, err)
}

// began is where reading began, of each partition of the share.
func (p *poll) began() []protocol.Offset {
	from := make([]protocol.Offset, len(p.look.from))
	for i := range p.look.from {
		from[i] = p.look.from[i].Offset
	}
	return from
}

// drawName draws what a delivery is known by in the commit that it makes. It fits a number
// of JSON.
func drawName() uint64 { return 1 + rand.Uint64N(1<<53-1) }

// deliveryQuestion says up to where the poll is about to deliver. It carries copies, as a
// question may be put again while the poll has gone on. With from the group compares where
// reading began with what is committed now: offsets that were moved by a seek meanwhile
// must not be overwritten by a delivery that did not know of it.
func (p *poll) deliveryQuestion() follow[routing.GroupCursor] {
	generation, positions := p.share.Generation, slices.Clone(p.share.at)
	skipped := p.req.SkipGaps && len(p.look.gaps) > 0 // else each poll would begin before the gap
	commit := p.req.AutoCommit && (p.look.got.count > 0 || skipped)
	var from []protocol.Offset
	if p.req.After == "" && (commit || p.unasked && p.req.AutoCommit) {
		from = p.began()
	}
	// A commit may be put to two coordinators, if the first does not answer. By the name
	// the second one knows it for what it has committed already.
	name := uint64(0)
	if commit {
		name = drawName()
	}
	return groupQuestion(p, func(slot protocol.Future[routing.GroupCursor]) routing.Question {
		return &routing.GroupDelivered{
			Consumer: p.req.ConsumerID, Generation: generation, Positions: positions,
			From: from, Commit: commit, Poll: name, Stay: p.stays(), Number: p.number, Handle: p.share.handle, Reply: slot,
		}
	}, func(a routing.GroupCursor) *protocol.Error { return a.Err })
}

// delivered is the next state when the group has answered. A client has named
// no generation that could be stale: when the group has moved on, the poll
// begins again as long as there is time.
func (p *poll) delivered(noted routing.GroupCursor, err *protocol.Error) pollState {
	switch {
	case err == nil:
		next := p.answer(noted.Cursor)
		if p.seated = p.stays(); p.seated {
			p.reply.Seat = p
		} else {
			p.rememberPlace()
		}
		return next
	// The newer poll reads the same records, unless this one's commit has an unknown outcome
	// and was made.
	case p.superseded():
		return p.answerNothing()
	case err.Code != protocol.CodeStaleGeneration:
		return p.fail(err)
	case time.Now().Before(p.deadline.Add(p.polls.opt.RequestTimeout)):
		return p.shareAgain() // nothing was delivered
	case err.Outcome != protocol.OutcomeUnknown || !p.req.AutoCommit || p.look.got.count == 0:
		return p.answerNothing() // nothing was committed
	}
	return p.fail(protocol.Unknownf("nobody confirmed in time that the offsets were committed"))
}

// replyWith is the answer with what was read, and with the group's cursor; nil
// for none.
func (p *poll) replyWith(c *group.Cursor) *protocol.PollReply {
	records := p.look.got.records
	if records == nil {
		records = []protocol.Record{}
	}
	reply := &protocol.PollReply{
		Cluster: p.cluster.Name, ConsumerID: p.req.ConsumerID, Group: p.req.Group, Generation: p.share.Generation,
		Records: records, TimedOut: p.look.got.count == 0 && !p.superseded() && !p.ending(),
		Gaps: p.look.gaps, AfterGeneration: p.resumed,
		Number: p.number, Superseded: p.share.handle.Signal() == routing.PollSuperseded,
	}
	if c == nil {
		return reply
	}
	reply.Cursor = group.EncodeCursor(c, p.seal())
	if p.req.RecordCursors {
		reply.Cursors = p.recordCursors(records, *c)
	}
	return reply
}

// recordCursors makes a cursor after each record: streams resume between two
// records, not only between two responses.
func (p *poll) recordCursors(records []protocol.Record, c group.Cursor) []string {
	cursors := make([]string, len(records))
	c.Positions = make([]group.CursorPosition, len(p.look.from))
	for i, o := range p.look.from {
		c.Positions[i] = group.CursorPosition{TopicID: o.TopicID, Partition: o.Partition, Offset: o.Offset}
	}
	seal := p.seal()
	for i := range records {
		r := &records[i]
		for j, o := range p.look.from {
			if o.Topic == r.Topic && o.Partition == r.Partition {
				c.Positions[j].Offset = r.Offset + 1
			}
		}
		cursors[i] = group.EncodeCursor(&c, seal)
	}
	return cursors
}

// onGiven delivers the records that a queue has given to the poll. Without any the
// poll waits, until the queue calls it.
func (p *poll) onGiven() pollState {
	given := p.share.Queue.Given
	switch {
	case p.req.RecordCursors:
		// Before the error: a worker that may not have them would keep them until their
		// deadline.
		p.giveBack(given, nil)
		p.leave()
		return p.fail(protocol.Errorf(protocol.CodeNotAllowed, "group %q is a queue: it is polled, and has no streams", p.req.Group))
	case len(given) == 0 && time.Now().Before(p.deadline):
		p.share.at = p.share.at[:0]
		return stateWait
	case len(given) == 0 && !p.graced:
		p.graced, p.deadline = true, time.Now().Add(queueGrace)
		return p.shareAgain()
	case len(given) == 0:
		return p.answerNothing()
	}
	p.look.begin(nil)
	missing, gone, err := p.look.readGiven(p.polls.locator, &p.topics, p.req, given)
	if err == nil {
		err = keepRoom(p.req.Room, p.look.got.bytes)
	}
	switch {
	case err != nil:
		p.giveBack(given, nil)
		return p.fail(err)
	case p.polls.revoked() || p.client.waited && p.clientGone():
		p.giveBack(given, nil)
		return p.answerNothing()
	}
	p.giveBack(missing, gone)
	if p.look.got.count == 0 && time.Now().Before(p.deadline) {
		return p.shareAgain()
	}
	return p.answer(nil)
}

// queueGrace is how long a poll that does not wait leaves the queue to look at what was
// written just before.
const queueGrace = 50 * time.Millisecond

// giveBack tells the queue what does not reach the client. The poll does not wait for
// an answer: at worst it is given again after its deadline.
func (p *poll) giveBack(back, gone []queue.Given) {
	if len(back) == 0 && len(gone) == 0 {
		return
	}
	tellGroup(p.cluster, p.req.Group, &routing.GroupReturn{
		Back: refsOf(back), Gone: refsOf(gone), Reply: protocol.NewFuture[*protocol.Error](),
	})
}

// refsOf names deliveries. The count is part of the name: a record that has been given to
// another worker since is not taken back from that one.
func refsOf(given []queue.Given) []queue.Ref {
	refs := make([]queue.Ref, len(given))
	for i := range given {
		refs[i] = queue.Ref{ID: given[i].ID, Offset: given[i].Offset, Count: given[i].Count}
	}
	return refs
}

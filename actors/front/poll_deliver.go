package front

import (
	"slices"
	"time"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// onDeliver has the group note the positions, durably with auto_commit, before
// the response is sent.
func (p *poll) onDeliver() pollState {
	noted, come, err := answerOf(p, (*poll).deliveryQuestion)
	if !come {
		return stateDeliver
	}
	return p.delivered(noted, err)
}

func (p *poll) deliveryQuestion() follow[routing.GroupCursor] {
	generation, positions := p.share.Generation, slices.Clone(p.share.at)
	skipped := p.req.SkipGaps && len(p.look.gaps) > 0 // else each poll would begin before the gap
	commit := p.req.AutoCommit && (p.look.got.count > 0 || skipped)
	from := p.seatedFrom()
	return groupQuestion(p, func(slot protocol.Future[routing.GroupCursor]) routing.Question {
		return &routing.GroupDelivered{
			Consumer: p.req.ConsumerID, Generation: generation, Positions: positions,
			From: from, Commit: commit, Stay: p.stays(), Number: p.number, Handle: p.share.handle, Reply: slot,
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
	case p.superseded():
		return p.answerNothing()
	case err.Code != protocol.CodeStaleGeneration:
		return p.fail(err)
	case time.Now().Before(p.deadline.Add(p.front.opt.RequestTimeout)):
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

package front

import (
	"slices"
	"time"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// pollShare is what a poll may read in one generation of its group.
type pollShare struct {
	routes *routing.Table      // as looked at last; when its topics change, the share may
	handle *routing.PollHandle // how the group reaches the poll; a new one each time the share is asked for
	routing.GroupShare
	at []group.PartitionOffset // positions: the next offset to read of each partition in Assigned, in that order
}

// onShare joins the group, or renews the lease, and learns what to read.
func (p *poll) onShare() pollState {
	// Once for each question, and not again while its answer is waited for.
	if p.question.under == nil {
		if err := p.renewTopics(); err != nil {
			if p.joined {
				p.leave()
			}
			return p.failShare(err)
		}
	}
	share, come, err := answerOf(p, (*poll).shareQuestion)
	switch {
	case !come:
		return stateShare
	case err != nil:
		return p.failShare(err)
	}
	p.share.GroupShare, p.joined, p.number = share, true, share.Number
	if share.Cursor != nil {
		p.rememberPlace()
		return p.answer(share.Cursor)
	}
	p.readInVain()
	if share.Queue != nil {
		return p.onGiven()
	}
	return p.place()
}

// shareAgain is the next state after a new generation, or a change of topics.
func (p *poll) shareAgain() pollState {
	if p.req.Announce {
		p.deadline = time.Now()
	}
	p.look.woken, p.look.last = false, false
	return stateShare
}

// renewTopics takes the topics from the newest routing table: partitions may
// have been added. Error: topic_not_found.
func (p *poll) renewTopics() *protocol.Error {
	p.share.routes = p.cluster.Table()
	for _, t := range p.topics.All() {
		now := p.share.routes.Topics[t.Name]
		if now == nil || now.ID != t.ID {
			return topicNotFound(t.Name)
		}
		p.topics.Set(t.ID, now)
	}
	return nil
}

// shareQuestion asks for a share. Each question has a handle of its own, by which the group
// reaches the poll: signals that were meant for the share of before end with that.
func (p *poll) shareQuestion() follow[routing.GroupShare] {
	topics := make([]group.SubscribedTopic, 0, p.topics.Len())
	for _, t := range p.topics.All() {
		topics = append(topics, group.SubscribedTopic{Name: t.Name, ID: t.ID, Partitions: t.Partitions})
	}
	// What it acknowledges is committed with the first share; asking again must not commit
	// it on top of what others have committed since.
	joined, ack := p.joined, p.req.Ack
	if joined {
		ack = ""
	}
	wait := max(0, time.Until(p.deadline))
	p.unasked = false
	// A signal for the share of before must not end the wait for the new one.
	p.endHandle()
	p.share.handle = &routing.PollHandle{Waiter: p.waiter}
	ahead := p.ahead.question
	if joined {
		ahead = nil
	}
	return groupQuestion(p, func(slot protocol.Future[routing.GroupShare]) routing.Question {
		mine := ahead
		if ahead != nil { // from now on it may have been asked already
			again := *ahead
			again.Again = true
			ahead = &again
		}
		if mine != nil && mine.Again && p.req.Gone != nil && p.req.Gone() {
			mine = nil // nothing is committed for nobody
		}
		return &routing.GroupPoll{
			Consumer: p.req.ConsumerID, Topics: topics, SessionMs: p.req.SessionTimeout.Milliseconds(),
			WaitMs: wait.Milliseconds(), Ack: ack, After: p.req.After, Continue: p.req.Continue || joined,
			Number: p.number, Handle: p.share.handle, Records: p.req.MaxRecords, Bytes: p.req.MaxBytes,
			Ahead: mine, Reply: slot,
		}
	}, func(a routing.GroupShare) *protocol.Error { return a.Err })
}

// endHandle gives up the way by which the group has reached the poll so far.
func (p *poll) endHandle() {
	if p.share.handle != nil {
		p.share.handle.End()
	}
}

// failShare ends a poll that was not told what to read.
func (p *poll) failShare(err *protocol.Error) pollState {
	if p.superseded() {
		return p.answerNothing()
	}
	return p.fail(err)
}

// superseded reports whether the poll's consumer has polled again, or left.
func (p *poll) superseded() bool {
	return p.share.handle != nil && p.share.handle.Signal() >= routing.PollLeft
}

// place finds the position on every assigned partition: after the cursor, at
// the committed offset, or where the group starts, which is then committed.
func (p *poll) place() pollState {
	p.share.at = p.share.at[:0]
	next := stateRead
	for _, a := range p.share.Assigned {
		o := group.PartitionOffset{Topic: a.Topic, TopicID: a.TopicID, Partition: a.Partition}
		if a.Committed != nil {
			o.Offset = *a.Committed
		} else {
			from := p.req.From
			if a.Added {
				from = protocol.StartFrom{} // what came before the group looked is not to be missed
			}
			at, err := p.polls.startOffset(p.topics.At(a.TopicID), a.Partition, from)
			if err != nil {
				return p.failShare(err)
			}
			o.Offset = at
			// A start must be the same for whoever gets the partition next, so it is
			// committed before anything is read there.
			next = stateStart
		}
		p.share.at = append(p.share.at, o)
	}
	if next == stateRead {
		p.continueAfter()
	}
	p.compare()
	return next
}

// onStart commits where the group starts, once and for all.
func (p *poll) onStart() pollState {
	held, come, err := answerOf(p, (*poll).startQuestion)
	switch {
	case !come:
		return stateStart
	case err != nil && err.Code == protocol.CodeStaleGeneration:
		return stateShare // the share has changed meanwhile
	case err != nil:
		return p.failShare(err)
	}
	for _, o := range held.Offsets {
		if i := slices.IndexFunc(p.share.at, func(at group.PartitionOffset) bool { return at.Key() == o.Key() }); i >= 0 {
			p.share.at[i].Offset = o.Offset // another member may have been faster
		}
	}
	p.continueAfter()
	return stateRead
}

// startQuestion asks to commit the starts of all partitions that have no offset yet, all at
// once. The answer says where they are now, which may be where another member began.
func (p *poll) startQuestion() follow[routing.GroupOffsets] {
	generation := p.share.Generation
	var starts []group.PartitionOffset
	for i, a := range p.share.Assigned {
		if a.Committed == nil {
			starts = append(starts, p.share.at[i])
		}
	}
	return groupQuestion(p, func(slot protocol.Future[routing.GroupOffsets]) routing.Question {
		return &routing.GroupStart{Consumer: p.req.ConsumerID, Generation: generation, Starts: starts, Reply: slot}
	}, func(a routing.GroupOffsets) *protocol.Error { return a.Err })
}

// continueAfter moves the positions to where the cursor of the request reads on.
func (p *poll) continueAfter() {
	for i := range p.share.at {
		at := &p.share.at[i]
		for _, c := range p.share.After {
			if c.TopicID == at.TopicID && c.Partition == at.Partition {
				at.Offset = c.Offset
			}
		}
	}
}

package front

import (
	"fmt"
	"time"

	"ottla/actors/few"
	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// pollState says what a poll does next.
//
//	resolve   which topics, consumer and group are meant
//	   |
//	   v
//	ahead     reads where the consumer goes on, if that is known: see placeBook
//	   |
//	   v
//	share     asks the group for the partitions to read <-------------.
//	   |      (joins, renews the lease, commits what is acknowledged; |
//	   |      done, if what was read ahead is delivered by that)      |
//	   |----------.                                                   |
//	   |          v                                                   |
//	   |      start     has the group commit where it starts ---------|  a new
//	   |          |     on partitions without an offset               |  generation
//	   v          |                                                   |
//	read <--------'     reads the partitions <---.                    |
//	   |       |                                 | woken, time over   |
//	   |       '------> wait    parks at their leaders ---------------|
//	   v                                                              |
//	deliver   has the group note, and commit, the positions ----------'
//	   |
//	   v
//	done
//
// An error leads from every state to done, and so do a newer poll of the same
// consumer, and the client's end, from wait and read. Each state is one method,
// on<State>, that returns the next state. One that asks the group (share,
// start, deliver) returns itself until there is an answer. The poll parks then,
// as it does in wait.
//
// A state needs what the states above it have left in the poll, and not that
// they have just run. So a state can be skipped where what it would find out is
// known: start is, when all partitions have offsets.
type pollState uint8

const (
	stateResolve pollState = iota
	stateAhead
	stateShare
	stateStart
	stateRead
	stateWait
	stateDeliver
	stateDone
)

// poll is one GET /events. It has no goroutine of its own: whoever carries it on calls
// Advance and Park in turn.
//
// It belongs to whoever carries it on, one goroutine at a time. Leaders, the group and
// timers reach it only by the parker and the handle, both of which may be called at any
// time. The parker says only that something has happened, and the poll finds out by looking
// what; the handle has the group's signal.
type poll struct {
	parker
	polls    *pollService
	req      *protocol.PollRequest
	deadline time.Time
	state    pollState
	seated   bool // it is answered, and the group still knows of it: see poll_seat.go
	unasked  bool // it goes on from the seat of the last one, and has not asked for a share of its own
	graced   bool // by a queue, see queueGrace
	joined   bool // the group has answered once with a share: Ack is committed, and After is used

	// Found by resolve.
	cluster *routing.Cluster
	topics  few.Map[string, *protocol.Topic] // by id; share takes newer ones
	number  uint64                           // of the poll; 0 until its group has given it one
	resumed protocol.Generation              // of the cursor in After, with Resume
	waiter  *protocol.Waiter                 // registers at leaders and at the group

	client   pollClient
	ahead    pollAhead
	question pollQuestion
	share    pollShare
	look     pollLook
	wait     pollWait

	// The answer, in done.
	reply *protocol.PollReply
	err   *protocol.Error
}

// pollClient is who has sent the poll.
type pollClient struct {
	done   <-chan struct{} // closed when its front end ends
	alive  time.Time       // when it was last known to be there
	waited bool            // the poll has waited for records, so the client may have left
}

// pollService reads records for members of groups.
type pollService struct {
	*resolver
	parked *parkedReads
	places *placeBook
	ids    *consumerIDs
}

// Poll implements one GET /events; see pollState.
func (ps *pollService) Poll(req *protocol.PollRequest, done <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
	return await(ps.startPoll(req, done))
}

// StartPoll begins a poll that its caller carries on; see protocol.Pending.
func (ps *pollService) StartPoll(req *protocol.PollRequest, done <-chan struct{}) protocol.PendingPoll {
	return ps.startPoll(req, done)
}

// startPoll makes a poll, or has the one that sits on the request's seat go on.
func (ps *pollService) startPoll(req *protocol.PollRequest, done <-chan struct{}) *poll {
	now := time.Now()
	if p, ok := req.Seat.(*poll); ok {
		if p.polls == ps {
			p.goOn(req, done, now)
			return p
		}
		// Its group is told, or the lease would hold the partitions for a poll that nobody
		// goes on with.
		p.Leave(false) // who asks may have other rights by now
	}
	return &poll{
		polls: ps, req: req, deadline: now.Add(req.Timeout),
		client: pollClient{done: done, alive: now}, look: pollLook{got: gathered{sink: req.Sink}},
	}
}

// await carries a read on until there is an answer.
func await[R any](p protocol.Pending[R]) (R, *protocol.Error) {
	for {
		reply, waits, err := p.Advance()
		if !waits {
			return reply, err
		}
		resumed := make(chan struct{})
		p.Park(func() { close(resumed) })
		<-resumed
	}
}

// Advance implements protocol.Pending.
func (p *poll) Advance() (reply *protocol.PollReply, waits bool, err *protocol.Error) {
	woken := p.parked && p.unpark()
	// States follow each other until one has to wait: itself, for an answer of the group,
	// or wait, for records.
	for p.state != stateDone {
		next := p.step(woken)
		waits = next == p.state || next == stateWait
		if p.state = next; waits {
			return nil, true, nil
		}
	}
	reply = p.reply
	// The group keeps the handle, and the waiter stays registered: the next poll goes on
	// from here.
	if p.seated { // who has the answer counts what it holds
		p.reply, p.look.got = nil, gathered{}
	} else {
		p.unregister()
		p.endHandle()
	}
	return reply, false, p.err
}

// step does what the state is for, and returns the next one. woken says that
// the poll has waited, and was woken rather than nudged.
func (p *poll) step(woken bool) pollState {
	switch p.state {
	case stateResolve:
		return p.onResolve()
	case stateAhead:
		return p.onAhead()
	case stateShare:
		return p.onShare()
	case stateStart:
		return p.onStart()
	case stateRead:
		return p.onRead()
	case stateWait:
		return p.onWait(woken)
	case stateDeliver:
		return p.onDeliver()
	}
	panic(fmt.Sprintf("BUG: poll in state %d", p.state))
}

// Park implements protocol.Pending.
func (p *poll) Park(resume func()) {
	if p.state == stateWait {
		p.parkForRecords(resume)
		return
	}
	p.setTimer(time.Now().Add(p.question.patience))
	p.park(resume)
}

// answer ends the poll with the records that were read.
func (p *poll) answer(c *group.Cursor) pollState {
	p.reply = p.replyWith(c)
	return stateDone
}

// answerNothing ends the poll without records. What was read is given back: it was noted by
// nobody, and the next poll reads it again.
func (p *poll) answerNothing() pollState {
	p.look.got.forget()
	return p.answer(nil)
}

// fail ends the poll with an error. What the poll acknowledged is committed all
// the same once the group has answered with a share, and the error says so:
// whatever failed came later.
func (p *poll) fail(err *protocol.Error) pollState {
	if p.req.Ack != "" && p.joined && err.Outcome != protocol.OutcomeUnknown {
		err = err.WithOutcome(protocol.OutcomeApplied)
	}
	p.err = err
	return stateDone
}

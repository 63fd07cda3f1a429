package actors

import (
	"runtime"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/coordinator"
	"ottla/actors/replica"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Serves implements coordinator.Host.
func (p *partitionActor) Serves() bool { return p.ref != nil }

// Direct implements coordinator.Host.
func (p *partitionActor) Direct(group string, to *actor.PID) { p.ref.Direct(group, to) }

// ProposalsAccepted implements coordinator.Host.
func (p *partitionActor) ProposalsAccepted() (n uint64, ok bool) { return p.rep.ProposalsAccepted() }

// ProposalsAnswered implements coordinator.Host.
func (p *partitionActor) ProposalsAnswered(upTo uint64) bool { return p.rep.ProposalsAnswered(upTo) }

// proposeRecords proposes records of a group. Those of one run were decided on top of each
// other: where one is refused, those behind it would be applied to a state that was never
// reached, so they are refused too.
func (p *partitionActor) proposeRecords(ctx actor.Context, m *coordinator.ProposeRecords) {
	var term uint64
	if p.ref != nil {
		term = p.ref.Term
	}
	if done, ok := m.Tie(term); ok {
		p.propose(ctx, replica.Proposal{Lines: m.Lines, Done: done})
	}
}

// changeMetadata proposes records that were decided on a state with all records
// below m.At. Where others have been proposed since, the decision may be wrong.
func (p *partitionActor) changeMetadata(ctx actor.Context, m *routing.ChangeMetadata) {
	switch {
	case p.life != partitionRunning || p.ref == nil:
		m.Refuse(protocol.ErrNotLeader)
	// The check needs no lock: between it and the proposal nothing else is handled here.
	case p.rep.NextOffset() != m.At:
		m.Refuse(routing.ErrDecidedTooEarly)
	default:
		p.propose(ctx, replica.Proposal{Lines: m.Lines, Done: m.Reply.Put})
	}
}

// propose refuses at once what cannot be written now; such a refusal has no effect. Space is
// kept back for internal topics and for what replicas write by themselves: clients are refused
// before the disk is full.
func (p *partitionActor) propose(ctx actor.Context, pr replica.Proposal) {
	switch {
	case p.life != partitionRunning:
		pr.Answer(protocol.ProduceResult{Err: protocol.ErrNotLeader})
	case p.diskFull || pr.Request != nil && p.env.space.Full():
		pr.Answer(protocol.ProduceResult{Err: protocol.Errorf(protocol.CodeStorageFull, "the disk is full")})
	default:
		if err := p.env.stalled(); err != nil {
			pr.Answer(protocol.ProduceResult{Err: err})
			return
		}
		p.member.Wake()
		p.do(ctx, func() { p.rep.Propose(pr) })
	}
}

// flushGathered proposes the requests gathered so far, unless the replica
// expects more at once: then it first lets the goroutines run that are about to
// send them. On an idle machine there are none, and yielding takes no time.
func (p *partitionActor) flushGathered(ctx actor.Context, m *flushGathered) {
	if p.rep != nil && p.rep.PostponeFlush() {
		runtime.Gosched()
		ctx.Send(ctx.Self(), m) // behind what came meanwhile
		return
	}
	p.do(ctx, p.rep.Flush)
}

// confirm calls Done once a majority has confirmed that this replica still leads: a leader
// that was cut off does not know that there is another one, and would answer from an old
// state.
func (p *partitionActor) confirm(ctx actor.Context, m *coordinator.ConfirmRead) {
	if p.life != partitionRunning {
		m.Done(protocol.ErrNotLeader)
		return
	}
	p.member.Wake()
	p.do(ctx, func() { p.rep.ReadIndex(m.Done) })
}

// confirmEnd answers up to where the log is committed, once a majority has confirmed
// that this replica leads.
func (p *partitionActor) confirmEnd(ctx actor.Context, m *routing.ConfirmEnd) {
	p.confirm(ctx, &coordinator.ConfirmRead{Done: func(err *protocol.Error) {
		end := routing.LogEnd{Err: err}
		if err == nil {
			end.Next = p.rep.HighWatermark()
		}
		m.Reply.Put(end)
	}})
}

// askPlaced answers what the partition knows of a request.
func (p *partitionActor) askPlaced(ctx actor.Context, m *routing.AskPlaced) {
	if p.life != partitionRunning || p.ref == nil {
		m.Refuse(protocol.ErrNotLeader)
		return
	}
	p.member.Wake()
	req := &protocol.ProduceRequest{ProducerID: m.ID, Epoch: m.Epoch, Sequence: m.Sequence, BodyHash: m.Hash}
	p.do(ctx, func() {
		p.rep.Placed(req, m.Partitions, func(known protocol.Knowledge, err *protocol.Error) {
			m.Reply.Put(routing.Placed{Known: known, Err: err})
		})
	})
}

// trimLog moves the log start for a client. A start that is there already is confirmed
// as a read is: this replica may have a successor that knows more.
func (p *partitionActor) trimLog(ctx actor.Context, m *routing.TrimLog) {
	if p.life != partitionRunning || p.ref == nil {
		m.Refuse(protocol.ErrNotLeader)
		return
	}
	before, end := int64(m.Before), p.rep.HighWatermark()
	if m.Before == protocol.AllRecords {
		before = end
	}
	reply := func(err *protocol.Error) {
		start := p.file.LogStart()
		if err == nil {
			start = max(start, before) // it may be committed by others, and not applied here
		}
		m.Reply.Put(routing.LogStart{Earliest: protocol.Offset(start), Err: err})
	}
	switch {
	case p.compacts():
		reply(protocol.Errorf(protocol.CodeNotAllowed, "topic %q is compacted: records are removed by writing a tombstone for their key", p.spec.id.Topic))
	case before > end:
		reply(protocol.Errorf(protocol.CodeNotAllowed, "offset %d is beyond the end of partition %d, which is %d", before, p.spec.key().Partition, end).
			With("earliest", p.file.LogStart()).With("latest", end))
	case before <= p.file.LogStart():
		p.confirm(ctx, &coordinator.ConfirmRead{Done: reply})
	default:
		p.member.Wake()
		p.do(ctx, func() { p.rep.TrimLog(before, reply) })
	}
}

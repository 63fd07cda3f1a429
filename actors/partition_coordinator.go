package actors

import (
	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/replica"
	"ottla/protocol"
)

// Serves implements coordinatorHost.
func (p *partitionActor) Serves() bool { return p.ref != nil }

// ProposalsAccepted implements coordinatorHost.
func (p *partitionActor) ProposalsAccepted() (n uint64, ok bool) { return p.rep.ProposalsAccepted() }

// ProposalsAnswered implements coordinatorHost.
func (p *partitionActor) ProposalsAnswered(upTo uint64) bool { return p.rep.ProposalsAnswered(upTo) }

// proposalRun ties the proposals of one group's actor together: each was
// decided on a state that includes the ones before, so that after a failure
// none that follows may enter the log. It belongs to the partition's goroutine.
type proposalRun struct{ failed bool }

func (p *partitionActor) proposeRecords(ctx actor.Context, m *proposeRecords) {
	done := m.Done
	if run := m.Run; run != nil {
		if run.failed {
			done(protocol.ProduceResult{Err: protocol.ErrNotLeader})
			return
		}
		done = func(res protocol.ProduceResult) {
			run.failed = run.failed || res.Err != nil
			m.Done(res)
		}
	}
	p.propose(ctx, replica.Proposal{Lines: m.Lines, Done: done})
}

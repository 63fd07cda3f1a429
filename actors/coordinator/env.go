package coordinator

import (
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Env is what all coordinators of a node share. Coordinators read it from many goroutines;
// what changes in it is atomic or has a lock.
type Env struct {
	System *actor.ActorSystem
	Now    func() time.Time
	Wall   func() int64                       // for the age of groups, milliseconds since 1970
	Agreed func() int64                       // for what is in queues' records and outlives the coordinator, likewise
	Steady func() int64                       // what leases stand on, milliseconds since 1970
	Ticks  func(time.Duration) int            // as ticks of partitions, at least 1
	Seal   func(clusterID string) *group.Seal // of a cluster's cursors, nil if it has none
	Level  func() int                         // of the fleet, which what is written may not be above; nil: level.Newest
	Feed   func(*routing.QueueFeed)           // reads for a queue that is led here, on goroutines of its own; nil: nobody does

	// Kept reports whether a group is not to expire, because a subscription, perhaps a paused
	// one, will go on with it. nil: none is.
	Kept func(clusterID, group string) bool

	MaxGroups        int
	OffsetsRetention time.Duration // of groups that nobody uses; not above 0: for ever

	Groups       Counts
	QueueRemoved atomic.Uint64 // records that retention has removed before a queue had ended them
	queues       atomic.Int64  // that are led here
}

// What a group asks of the partition of its coordinator.
type (
	// ProposeRecords puts a state machine's records in the log. Done is called
	// on the partition's goroutine: it may only send or put.
	ProposeRecords struct {
		Lines *protocol.Lines
		Run   *ProposalRun // nil: of its own
		Done  func(protocol.ProduceResult)
	}
	// ConfirmRead asks for a linearizable read point.
	ConfirmRead struct{ Done func(*protocol.Error) }
)

// ProposalRun ties the proposals of one group's actor together: each was
// decided on a state that includes the ones before, so that after a failure
// none that follows may enter the log. It belongs to the partition's goroutine.
// One of an earlier term has failed, too: what others wrote since is not in its state.
type ProposalRun struct {
	Term   uint64 // in which the coordinator leads
	Failed bool
}

// Tie returns what is to be called in place of Done, so that a failure is one of the whole run.
// Ok is false where m is answered already: its run has failed, or is of another term than that
// in which the partition serves; 0: in none.
func (m *ProposeRecords) Tie(term uint64) (done func(protocol.ProduceResult), ok bool) {
	run := m.Run
	if run == nil {
		return m.Done, true
	}
	run.Failed = run.Failed || term != 0 && term != run.Term
	if run.Failed {
		m.Done(protocol.ProduceResult{Err: protocol.ErrNotLeader})
		return nil, false
	}
	return func(res protocol.ProduceResult) {
		run.Failed = run.Failed || res.Err != nil
		m.Done(res)
	}, true
}

// Refuse is the answer of a partition whose actor has ended (see supervise.Refuse).
func (m *ProposeRecords) Refuse(err *protocol.Error) { m.Done(protocol.ProduceResult{Err: err}) }

// Refuse is the answer of a partition whose actor has ended.
func (m *ConfirmRead) Refuse(err *protocol.Error) { m.Done(err) }

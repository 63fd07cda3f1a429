package election

import (
	"sync/atomic"

	"ottla/actors/replica"
	"ottla/protocol"
)

// Replica is what a member asks of its replica; *replica.Replica is one.
type Replica interface {
	Leads() bool
	Leader() uint64 // 0: none known
	ForgetLeader()
	Campaign(anyway bool)
	Campaigning() bool
	VotePending() bool
	LastPosition() replica.Position
	Voters() (incoming, outgoing []uint64)
	AgreesWith(leader, term, index uint64) bool
}

// View is a replica and what its node knows of the others at a moment.
type View struct {
	Replica Replica
	Want    []protocol.PlacedReplica // what placement prefers, the first first
	Reaches func(uint64) bool        // whether another replica runs: an opinion, which may be wrong
	Fit     func(uint64) bool        // whether the node of one that runs should have leaders, likewise; nil: all should
}

// HasLeader reports whether a running replica is known to lead.
func (v View) HasLeader() bool {
	leader := v.Replica.Leader()
	return v.Replica.Leads() || leader != 0 && v.Reaches(leader)
}

// Member is a replica's part in two things that depend on who else runs: in finding a
// leader, and in letting raft's clock stand still where nothing happens. All that it
// believes of others may be wrong: that costs time, never a record, because raft decides
// by majorities. The owner hands on what it is told to tell the others. Not safe for
// concurrent use.
type Member struct {
	ID uint64
	// Rests is true while the clock stands still, for those who would send it ticks; nil:
	// nobody asks.
	Rests *atomic.Bool

	election State
	quiet    bool
	idle     int // ticks since the leader had anything to do
}

// quietTicks is how long a partition must have been idle: 3 s at the default tick.
const quietTicks = 30

// Quiet reports whether raft's clock stands still here.
func (m *Member) Quiet() bool { return m.quiet }

// Seeking reports whether the replica has no leader, as far as it has noticed.
func (m *Member) Seeking() bool { return m.election.open }

// Wake starts raft's clock again.
func (m *Member) Wake() {
	if m.quiet {
		m.rest(false)
	}
	m.idle = 0
}

func (m *Member) rest(rests bool) {
	m.quiet = rests
	if m.Rests != nil {
		m.Rests.Store(rests)
	}
}

// Idle counts a tick on which the replica leads and nothing waits for anything; busy
// ones begin the count anew. When it has been long enough the member falls quiet, and
// reports it: all others are to be told, those that run. Whoever is not told makes a
// pre-vote after its election timeout, which wakes the rest.
func (m *Member) Idle(idle bool) bool {
	if !idle {
		m.idle = 0
		return false
	}
	if m.idle++; m.idle < quietTicks {
		return false
	}
	m.rest(true)
	return true
}

// Follow stops a follower's clock, if it agrees with its leader.
func (m *Member) Follow(said *FallQuiet, v View) {
	if v.Replica.AgreesWith(said.Leader, said.Term, said.Index) {
		m.rest(true)
	}
}

// Seek begins an election, or goes on with one when replicas came or went, unless there
// is a leader. What it returns is to be told to all others; nil: nothing.
func (m *Member) Seek(v View) *Leaderless {
	if v.HasLeader() {
		return nil
	}
	m.Wake()
	m.election.Begin()
	v.Replica.ForgetLeader()
	said := &Leaderless{Replica: m.ID, Last: v.Replica.LastPosition()}
	m.campaignIfBest(v)
	return said
}

// Changed says that replicas came or went, as far as the node knows. A leader whose
// followers have gone must notice that it has no majority, so the clock goes on in any
// case.
func (m *Member) Changed(v View) *Leaderless {
	m.Wake()
	return m.Seek(v)
}

// Heard hears where another replica without a leader stands.
func (m *Member) Heard(other *Leaderless, v View) (said *Leaderless) {
	if v.HasLeader() {
		return nil
	}
	if !m.Seeking() {
		said = m.Seek(v)
	}
	m.election.Heard(other)
	m.campaignIfBest(v)
	return said
}

// Learned looks at the leader that raft may have learned of. It may be one that is gone,
// whose last message was still in the mailbox: it moved this log.
func (m *Member) Learned(v View) *Leaderless {
	if !m.Seeking() || v.Replica.Leader() == 0 {
		return nil
	}
	if v.HasLeader() {
		m.election.End()
		return nil
	}
	return m.Seek(v)
}

// Tick looks for a leader on each tick of raft's clock.
func (m *Member) Tick(v View) *Leaderless {
	switch {
	case v.HasLeader():
		m.election.End()
	case !m.Seeking():
		return m.Seek(v)
	case m.election.Tick(v.Replica.VotePending(), func() Group { return m.group(v) }):
		v.Replica.Campaign(false)
	}
	return nil
}

func (m *Member) campaignIfBest(v View) {
	if !v.Replica.Campaigning() && !v.Replica.VotePending() && m.election.Best(m.group(v)) {
		v.Replica.Campaign(false)
	}
}

func (m *Member) group(v View) Group {
	g := Group{Self: m.ID, Want: v.Want, Last: v.Replica.LastPosition(), Reaches: v.Reaches, Fit: v.Fit}
	g.Voters, g.Outgoing = v.Replica.Voters()
	return g
}

package election

import (
	"cmp"
	"slices"

	"ottla/actors/replica"
	"ottla/protocol"
)

// Messages between the replicas of a partition.
type (
	// Leaderless tells another replica that this one has no leader, so would vote,
	// and how far its log reaches.
	Leaderless struct {
		Replica uint64
		Last    replica.Position
	}
	// FallQuiet tells a follower that its leader has stopped its clock at this
	// term and index.
	FallQuiet struct{ Leader, Term, Index uint64 }
)

// State is what a replica without a leader knows of the others without one. The zero
// value is that of a replica with a leader.
type State struct {
	open    bool                        // this replica has no leader
	known   map[uint64]replica.Position // of replicas that have none either
	ticks   int                         // since it has none
	nextTry int                         // the value of ticks at which to campaign again
}

// Group is the replica's raft group as the replica sees it at a moment.
type Group struct {
	Self             uint64
	Voters, Outgoing []uint64                 // of a joint configuration both; else Outgoing is empty
	Want             []protocol.PlacedReplica // what placement prefers, the first first
	Last             replica.Position         // of Self's log
	Reaches          func(uint64) bool        // whether a replica runs
	Fit              func(uint64) bool        // whether its node should have leaders; nil: all should
}

// standTicks is how long a replica gives each one that should lead rather than
// itself: 300 ms at the default tick.
const standTicks = 3

// Begin notes that the replica has no leader; it does nothing if that is known.
func (s *State) Begin() {
	if !s.open {
		*s = State{open: true, known: map[uint64]replica.Position{}}
	}
}

// End notes that there is a leader.
func (s *State) End() { *s = State{} }

// Heard notes where another replica stands. The election must have begun.
func (s *State) Heard(m *Leaderless) { s.known[m.Replica] = m.Last }

// Best reports whether this replica is the one to campaign, and notes that it does.
func (s *State) Best(g Group) bool {
	if s.rank(g) != 0 {
		return false
	}
	s.nextTry = max(s.nextTry, s.ticks+2)
	return true
}

// Tick reports whether to repeat an attempt whose messages were lost, after twice as
// long each time: with many partitions and a slow disk, an election takes longer than
// a tick, and one that is begun anew before it ends never does. When those that should
// lead do not come to it, the next in rank tries. Voting says that a vote of the
// replica is not on disk yet.
func (s *State) Tick(voting bool, group func() Group) bool {
	s.ticks++
	if s.ticks < s.nextTry || voting {
		return false
	}
	if rank := s.rank(group()); rank < 0 || s.ticks < rank*standTicks {
		return false
	}
	s.nextTry = 2 * s.ticks
	return true
}

// rank is how many running voters should rather campaign than this one: those
// with a longer log, those as good that placement prefers, and those that have
// not said where they stand, who may have a leader. Where this one's node should not have
// leaders, all those whose nodes may; where it may, none of those whose nodes should not.
// Negative when this one cannot win: it has no vote, or too few voters run.
func (s *State) rank(g Group) int {
	if !slices.Contains(g.Voters, g.Self) && !slices.Contains(g.Outgoing, g.Self) ||
		!g.majorityRuns(g.Voters) || !g.majorityRuns(g.Outgoing) {
		return -1
	}
	better, fit := 0, g.fit(g.Self)
	count := func(id uint64) {
		if id == g.Self || !g.Reaches(id) {
			return
		}
		if theirs := g.fit(id); theirs != fit {
			if theirs {
				better++
			}
			return
		}
		theirs, known := s.known[id]
		if !known || cmp.Or(theirs.Compare(g.Last), g.preference(g.Self)-g.preference(id)) > 0 {
			better++
		}
	}
	for _, id := range g.Voters {
		count(id)
	}
	for _, id := range g.Outgoing {
		if !slices.Contains(g.Voters, id) {
			count(id)
		}
	}
	return better
}

func (g *Group) fit(replica uint64) bool { return g.Fit == nil || g.Fit(replica) }

// preference is a replica's place in what placement prefers, the first one 0.
func (g *Group) preference(replica uint64) int {
	i := slices.IndexFunc(g.Want, func(w protocol.PlacedReplica) bool { return w.ReplicaID == replica })
	if i < 0 {
		return len(g.Want) + int(replica)
	}
	return i
}

// majorityRuns reports whether a majority of some voters runs; no voters are
// no condition.
func (g *Group) majorityRuns(voters []uint64) bool {
	running := 0
	for _, id := range voters {
		if id == g.Self || g.Reaches(id) {
			running++
		}
	}
	return len(voters) == 0 || running >= len(voters)/2+1
}

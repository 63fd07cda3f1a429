package election

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/replica"
	"ottla/protocol"
)

// three is a group of replicas 1, 2 and 3, preferred in this order, as one of them
// sees it.
func three(self uint64, last replica.Position, runs ...uint64) Group {
	return Group{
		Self: self, Voters: []uint64{1, 2, 3}, Last: last,
		Want: []protocol.PlacedReplica{{Broker: 1, ReplicaID: 1}, {Broker: 2, ReplicaID: 2}, {Broker: 3, ReplicaID: 3}},
		Reaches: func(id uint64) bool {
			for _, r := range runs {
				if r == id {
					return true
				}
			}
			return false
		},
	}
}

// unfit says that the nodes of some replicas should not have leaders.
func unfit(g Group, replicas ...uint64) Group {
	g.Fit = func(id uint64) bool { return !slices.Contains(replicas, id) }
	return g
}

func TestWhoCampaigns(t *testing.T) {
	short, long := replica.Position{Term: 2, Index: 7}, replica.Position{Term: 2, Index: 9}
	for name, c := range map[string]struct {
		group Group
		heard []Leaderless
		best  bool
	}{
		"nobody else runs":                     {three(1, long), nil, false},
		"the other has not said where it is":   {three(1, long, 2), nil, false},
		"preferred, of equal logs":             {three(1, long, 2), []Leaderless{{2, long}}, true},
		"not preferred, of equal logs":         {three(2, long, 1), []Leaderless{{1, long}}, false},
		"the longer log beats preference":      {three(3, long, 1), []Leaderless{{1, short}}, true},
		"the shorter log never":                {three(1, short, 3), []Leaderless{{3, long}}, false},
		"one that does not run does not count": {three(2, short, 3), []Leaderless{{1, long}, {3, short}}, true},
		"its node is not fit, another's is":    {unfit(three(1, long, 2), 1), []Leaderless{{2, short}}, false},
		"its node is fit, the other's is not":  {unfit(three(2, short, 1), 1), []Leaderless{{1, long}}, true},
		"no node is fit":                       {unfit(three(1, long, 2), 1, 2), []Leaderless{{2, long}}, true},
		"no vote":                              {three(4, long, 1, 2, 3), []Leaderless{{1, short}, {2, short}, {3, short}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var s State
			s.Begin()
			for i := range c.heard {
				s.Heard(&c.heard[i])
			}
			assert.Equal(t, c.best, s.Best(c.group))
		})
	}
}

// Both configurations of a joint one have to be able to elect.
func TestJointConfigurationNeedsBothMajorities(t *testing.T) {
	last := replica.Position{Term: 1, Index: 1}
	g := three(1, last, 2)
	g.Outgoing = []uint64{1, 4, 5}
	var s State
	s.Begin()
	s.Heard(&Leaderless{2, last})
	require.False(t, s.Best(g), "of the outgoing ones only this one runs")
	g.Outgoing = []uint64{1, 2, 5}
	require.True(t, s.Best(g))
}

// An attempt is repeated after longer and longer, and one that should stand back
// tries when the others do not.
func TestAttemptsAreRepeated(t *testing.T) {
	last := replica.Position{Term: 1, Index: 1}
	tries := func(rankedBehind int) (at []int) {
		g := three(3, last, 1, 2)
		var s State
		s.Begin()
		for id := uint64(1); id <= 2; id++ {
			if int(id) > rankedBehind {
				s.Heard(&Leaderless{id, replica.Position{}})
			}
		}
		for tick := 1; tick <= 40; tick++ {
			if s.Tick(false, func() Group { return g }) {
				at = append(at, tick)
			}
		}
		return at
	}
	assert.Equal(t, []int{1, 2, 4, 8, 16, 32}, tries(0))
	assert.Equal(t, []int{3, 6, 12, 24}, tries(1))
	assert.Equal(t, []int{6, 12, 24}, tries(2))
	var s State
	s.Begin()
	require.False(t, s.Tick(true, func() Group { return three(3, last, 1, 2) }), "its vote is not on disk")
	s.End()
	require.False(t, s.open)
}

// Whoever sends ticks knows which replicas rest.
func TestAReplicaThatIsWokenDoesNotRest(t *testing.T) {
	m := Member{Rests: &atomic.Bool{}}
	for range 29 {
		assert.False(t, m.Idle(true))
	}
	assert.False(t, m.Rests.Load())
	assert.True(t, m.Idle(true))
	assert.True(t, m.Rests.Load())
	m.Wake()
	assert.False(t, m.Rests.Load())
	assert.False(t, m.Quiet())
}

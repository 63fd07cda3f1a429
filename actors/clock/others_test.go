package clock

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// node is a node of a fleet, whose clock is off by something.
type node struct {
	w     *world
	clock *Clock
}

// newNodes makes nodes whose clocks are off by that much, and which all have started at
// different times.
func newNodes(off ...time.Duration) (nodes []*node) {
	for i, by := range off {
		w := &world{wall: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Add(by), steady: time.Duration(i) * time.Hour}
		n := &node{w: w}
		n.clock = New(func() time.Time { return w.wall }, func() time.Duration { return w.steady }, bound, func(time.Duration, bool) {})
		n.clock.Limit(time.Second)
		nodes = append(nodes, n)
	}
	return nodes
}

func pass(nodes []*node, d time.Duration) {
	for _, n := range nodes {
		n.w.pass(d)
	}
}

// ask has a node ask another one, which takes there and back.
func ask(nodes []*node, from, to int, there, back time.Duration) {
	asked := nodes[from].clock.Steady()
	pass(nodes, there)
	said := nodes[to].clock.Wall()
	pass(nodes, back)
	nodes[from].clock.Heard(uint64(to), said, asked, nodes[from].clock.Steady())
}

// askAll has all ask all others.
func askAll(nodes []*node, trip time.Duration) {
	for from := range nodes {
		for to := range nodes {
			if from != to {
				ask(nodes, from, to, trip/2, trip/2)
			}
		}
	}
}

func TestWhoseClockIsWrong(t *testing.T) {
	const h = time.Hour
	for name, c := range map[string]struct {
		off   []time.Duration
		wrong []bool
		by    time.Duration // of all that are right, or corrected
	}{
		"all agree":                             {[]time.Duration{0, 400 * time.Millisecond, -400 * time.Millisecond}, []bool{false, false, false}, 0},
		"one of three is ahead":                 {[]time.Duration{0, h, 0}, []bool{false, true, false}, 0},
		"one of three is behind":                {[]time.Duration{-h, 0, 0}, []bool{true, false, false}, 0},
		"one of three is right":                 {[]time.Duration{h, 0, h}, []bool{false, true, false}, h},
		"two of five":                           {[]time.Duration{0, h, 0, -h, 0}, []bool{false, true, false, true, false}, 0},
		"one of four":                           {[]time.Duration{0, 0, -h, 0}, []bool{false, false, true, false}, 0},
		"a second counts where it is the limit": {[]time.Duration{0, 0, 1200 * time.Millisecond}, []bool{false, false, true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := newNodes(c.off...)
			right := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Add(c.by)
			askAll(nodes, 10*time.Millisecond)
			right = right.Add(time.Duration(len(nodes)*(len(nodes)-1)) * 10 * time.Millisecond)
			for i, n := range nodes {
				assert.Equal(t, c.wrong[i], n.clock.Wrong() != "", "node %d: %s", i, n.clock.Wrong())
				assert.InDelta(t, right.UnixMilli(), n.clock.Agreed(), 450, "node %d", i)
				assert.InDelta(t, right.UnixMilli(), n.clock.Millis(), 450, "node %d", i)
			}
		})
	}
}

func TestWhatIsSaidOfAWrongClock(t *testing.T) {
	nodes := newNodes(0, time.Hour, 0)
	askAll(nodes, 0)
	assert.Equal(t, "the clock of this node is 1h0m0s ahead of those of 2 of 2 other nodes: set it", nodes[1].clock.Wrong())
	assert.Equal(t, map[uint64]time.Duration{0: -time.Hour, 2: -time.Hour}, nodes[1].clock.Offsets())
	nodes[1].w.wall = nodes[1].w.wall.Add(-2 * time.Hour)
	assert.Equal(t, "the clock of this node is 1h0m0s behind those of 2 of 2 other nodes: set it", nodes[1].clock.Wrong(), "it was set, and nobody was asked yet")
	nodes[1].w.wall = nodes[1].w.wall.Add(time.Hour)
	assert.Empty(t, nodes[1].clock.Wrong())
}

// With one other node there is no majority: both say that they differ, and nobody follows.
func TestTwoClocksThatDiffer(t *testing.T) {
	nodes := newNodes(0, time.Hour)
	askAll(nodes, 0)
	for i, n := range nodes {
		assert.Empty(t, n.clock.Wrong())
		assert.Equal(t, n.w.wall.UnixMilli(), n.clock.Agreed())
		other, _ := n.clock.Doubt()
		assert.EqualValues(t, 1-i, other)
	}
	nodes = newNodes(0, 0)
	askAll(nodes, 0)
	_, ahead := nodes[0].clock.Doubt()
	assert.Zero(t, ahead)
}

// What a node has heard of others goes on to count when it cannot hear them any more.
func TestAWrongClockStaysWrongAlone(t *testing.T) {
	nodes := newNodes(0, time.Hour, 0)
	askAll(nodes, 0)
	pass(nodes, time.Hour)
	ask(nodes, 1, 0, 0, 0)
	assert.NotEmpty(t, nodes[1].clock.Wrong())
	nodes[1].clock.Keep([]uint64{0})
	assert.Empty(t, nodes[1].clock.Wrong(), "of two nobody knows")
	ask(nodes, 1, 2, 0, 0)
	assert.Empty(t, nodes[1].clock.Wrong(), "it has left, and its answer comes late")
}

// A slow answer says little, and does not take the place of a quick one; but a clock that
// was set is noticed by it.
func TestSlowAnswers(t *testing.T) {
	nodes := newNodes(0, 0, 0)
	askAll(nodes, 0)
	ask(nodes, 0, 1, 0, 6*time.Second)
	ask(nodes, 0, 2, 6*time.Second, 0)
	assert.Empty(t, nodes[0].clock.Wrong())
	assert.Equal(t, map[uint64]time.Duration{1: 0, 2: 0}, nodes[0].clock.Offsets())
	for _, i := range []int{1, 2} {
		nodes[i].w.wall = nodes[i].w.wall.Add(time.Hour)
		ask(nodes, 0, i, 0, 6*time.Second)
	}
	assert.Empty(t, nodes[0].clock.Wrong(), "the first may have been put right meanwhile")
	pass(nodes, time.Millisecond)
	ask(nodes, 0, 1, 0, 6*time.Second)
	assert.NotEmpty(t, nodes[0].clock.Wrong())
}

// Where all differ nobody knows, and each goes by its own clock.
func TestAllClocksDiffer(t *testing.T) {
	nodes := newNodes(-time.Hour, 0, time.Hour)
	askAll(nodes, 0)
	for i, n := range nodes {
		assert.Empty(t, n.clock.Wrong(), i)
		assert.False(t, n.clock.Decided(), i)
		assert.Equal(t, n.w.wall.UnixMilli(), n.clock.Agreed(), i)
	}
}

// A clock was wrong and is right again, and now another one is wrong by as much: what was
// heard of the first before that is no second voice, neither against those that are right
// nor for the one that is wrong.
func TestAnAnswerOfAClockThatWasPutRight(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -3 * time.Second} {
		nodes := newNodes(0, by, 0)
		askAll(nodes, 0)
		pass(nodes, time.Millisecond)
		right := nodes[0].w.wall
		nodes[1].w.wall = nodes[1].w.wall.Add(-by)
		nodes[2].w.wall = nodes[2].w.wall.Add(by)
		assert.Equal(t, right.UnixMilli(), nodes[2].clock.Agreed(), "it was set to what another one said")
		assert.NotEmpty(t, nodes[2].clock.Wrong())
		ask(nodes, 0, 2, 0, 0)
		assert.Empty(t, nodes[0].clock.Wrong())
		assert.True(t, nodes[0].clock.Decided())
		assert.Equal(t, right.UnixMilli(), nodes[0].clock.Agreed())
		pass(nodes, time.Millisecond)
		ask(nodes, 2, 0, 0, 0)
		assert.Equal(t, right.UnixMilli()+1, nodes[2].clock.Agreed())
		askAll(nodes, 0)
		for i, n := range nodes {
			assert.Equal(t, right.UnixMilli()+1, n.clock.Agreed(), i)
			assert.Equal(t, i == 2, n.clock.Wrong() != "", i)
		}
	}
}

// What is all set, as by an operator who puts a whole fleet right, is followed once all
// have been asked.
func TestAllClocksAreSet(t *testing.T) {
	nodes := newNodes(0, 0, 0)
	askAll(nodes, 0)
	for _, n := range nodes {
		n.w.wall = n.w.wall.Add(time.Hour)
		assert.NotEmpty(t, n.clock.Wrong(), "nobody else has said so yet")
	}
	pass(nodes, time.Millisecond)
	askAll(nodes, 0)
	for i, n := range nodes {
		assert.Empty(t, n.clock.Wrong(), i)
		assert.Equal(t, n.w.wall.UnixMilli(), n.clock.Agreed(), i)
	}
}

// A clock at the limit is not wrong and right by turns.
func TestAClockAtTheLimit(t *testing.T) {
	nodes := newNodes(0, 1100*time.Millisecond, 0)
	askAll(nodes, 0)
	require.NotEmpty(t, nodes[1].clock.Wrong())
	nodes[1].w.wall = nodes[1].w.wall.Add(-300 * time.Millisecond)
	assert.NotEmpty(t, nodes[1].clock.Wrong())
	nodes[1].w.wall = nodes[1].w.wall.Add(-400 * time.Millisecond)
	assert.Empty(t, nodes[1].clock.Wrong())
}

// Where others say what is right, a jump is believed or not at once.
func TestJumpsAmongOthers(t *testing.T) {
	nodes := newNodes(0, 0, 0)
	askAll(nodes, 0)
	right := nodes[0].w.wall
	nodes[0].w.wall = right.Add(5 * time.Minute) // alone it would be believed
	assert.Equal(t, right.UnixMilli(), nodes[0].clock.Millis())
	assert.Equal(t, right.UnixMilli(), nodes[0].clock.Agreed())
	nodes[0].w.wall = right
	for _, n := range nodes { // the machines have slept
		n.w.wall = n.w.wall.AddDate(1, 0, 0)
	}
	askAll(nodes, 0)
	assert.Equal(t, right.AddDate(1, 0, 0).UnixMilli(), nodes[0].clock.Millis())
}

// TestClocksInSimulation: clocks drift, are set by hours and put right again, at most a
// minority of them at a time; answers take long and unequally long, or are lost. No node that
// hears a majority is off by more than the limit and what its slowest answers leave open.
func TestClocksInSimulation(t *testing.T) {
	seeds := uint64(300)
	if testing.Short() { // under the race detector, which finds nothing in one goroutine
		seeds = 30
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		count := 3 + 2*r.IntN(2)
		nodes := newNodes(make([]time.Duration, count)...)
		right := nodes[0].w.wall
		off := make([]time.Duration, count)
		spend := func(d time.Duration) {
			right = right.Add(d)
			pass(nodes, d)
		}
		askOne := func(from, to int, there, back time.Duration) {
			asked := nodes[from].clock.Steady()
			spend(there)
			said := nodes[to].clock.Wall()
			spend(back)
			nodes[from].clock.Heard(uint64(to), said, asked, nodes[from].clock.Steady())
		}
		for from := range nodes {
			for to := range nodes {
				if from != to {
					askOne(from, to, 0, time.Millisecond)
				}
			}
		}
		agree := func(when string) {
			for i, n := range nodes {
				require.InDelta(t, right.UnixMilli(), n.clock.Agreed(), 1200, "seed %d, node %d, off by %s, %s: %s", seed, i, off[i], when, n.clock.Wrong())
			}
		}
		for range 200 {
			switch i := r.IntN(count); r.IntN(4) {
			case 0: // a clock is set, and another one put right if there would be too many
				wrong := 0
				for k := range off {
					if k != i && off[k].Abs() > 100*time.Millisecond {
						wrong++
					}
				}
				if wrong >= (count-1)/2 {
					break
				}
				by := time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour
				nodes[i].w.wall, off[i] = nodes[i].w.wall.Add(by), off[i]+by
			case 1:
				nodes[i].w.wall, off[i] = nodes[i].w.wall.Add(-off[i]), 0
			case 2:
				by := time.Duration(r.Int64N(int64(10*time.Millisecond))) - 5*time.Millisecond
				if off[i].Abs() < 90*time.Millisecond {
					nodes[i].w.wall, off[i] = nodes[i].w.wall.Add(by), off[i]+by
				}
			default:
				spend(time.Duration(r.Int64N(int64(time.Second))))
			}
			agree("before anybody is asked")
			for from := range nodes {
				for to := range nodes {
					if from != to && r.IntN(20) > 0 {
						askOne(from, to, time.Duration(r.Int64N(int64(20*time.Millisecond))), time.Duration(r.Int64N(int64(20*time.Millisecond))))
						agree("while all are asked")
					}
				}
			}
			for from := range nodes { // what was lost comes again
				for to := range nodes {
					if from != to {
						askOne(from, to, time.Millisecond, time.Duration(r.Int64N(int64(20*time.Millisecond))))
					}
				}
			}
			for i, n := range nodes {
				require.InDelta(t, right.UnixMilli(), n.clock.Agreed(), 1200, "seed %d, node %d, off by %s: %s", seed, i, off[i], n.clock.Wrong())
				require.InDelta(t, right.UnixMilli(), n.clock.Millis(), 1200, "seed %d, node %d, off by %s", seed, i, off[i])
				if off[i].Abs() > 1500*time.Millisecond {
					require.NotEmpty(t, n.clock.Wrong(), "seed %d, node %d, off by %s", seed, i, off[i])
				}
				if off[i].Abs() < 100*time.Millisecond {
					require.Empty(t, n.clock.Wrong(), "seed %d, node %d, off by %s", seed, i, off[i])
				}
			}
		}
	}
}

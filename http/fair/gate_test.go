package fair

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newTestGate is a gate for so many CPUs.
func newTestGate(cpus int) (*Gate, time.Time) {
	g := NewGate()
	g.cpus = cpus
	return g, time.Unix(1000, 0)
}

func name(i int) string { return string(rune('a' + i)) }

// Who waits too long is refused, and takes nothing.
func TestWhoWaitsTooLongIsRefused(t *testing.T) {
	g, now := newTestGate(1)
	require.Nil(t, g.enter("modest", now))
	for range least {
		require.Nil(t, g.enter("greedy", now))
	}
	require.False(t, g.Enter("greedy", now, time.Millisecond))
	assert.Empty(t, g.queue)
	assert.Equal(t, least+1, g.underWay)
	turn := g.enter("greedy", now)
	g.Leave("greedy")
	<-turn
	assert.False(t, g.giveUp("greedy", turn), "its turn has come")
}

// Who is not wanted any more does not wait to the end, also if its turn has just come;
// until then it keeps its place.
func TestARequestThatIsNotWantedAnyMoreIsRefused(t *testing.T) {
	g, now := newTestGate(1)
	require.Nil(t, g.enter("modest", now))
	for range least {
		require.Nil(t, g.enter("greedy", now))
	}
	require.False(t, g.EnterWhile("greedy", now, time.Hour, func() bool { return false }))
	assert.Empty(t, g.queue)

	var looks atomic.Int64
	var gone atomic.Bool
	entered := make(chan bool)
	wait := func() {
		entered <- g.EnterWhile("greedy", now, time.Hour, func() bool {
			looks.Add(1)
			return !gone.Load()
		})
	}
	go wait()
	require.Eventually(t, func() bool { return looks.Load() >= 2 }, time.Minute, time.Millisecond)
	second := g.enter("greedy", now)
	g.Leave("greedy")
	require.True(t, <-entered, "it has kept its place")
	g.Leave("greedy")
	<-second

	looks.Store(0)
	go wait()
	require.Eventually(t, func() bool { return looks.Load() >= 1 }, time.Minute, time.Millisecond)
	gone.Store(true)
	g.Leave("greedy")
	require.False(t, <-entered, "its turn comes too late")
	assert.Equal(t, least, g.underWay)
	assert.Empty(t, g.queue)
}

func TestOneClientAloneIsNotBounded(t *testing.T) {
	g, now := newTestGate(1)
	for range 1000 {
		require.Nil(t, g.enter("a", now))
	}
	for range 1000 {
		g.Leave("a")
	}
	assert.Zero(t, g.clients["a"].underWay)
}

// With modest clients there, a greedy one may have its share under way and the rest
// waits in turn; they do not wait.
func TestAGreedyClientGetsItsShare(t *testing.T) {
	g, now := newTestGate(1)
	for i := range 7 {
		require.Nil(t, g.enter(name(i), now), "modest")
	}
	var turns []chan struct{}
	for i := range 20 {
		turn := g.enter("greedy", now)
		if i < least {
			require.Nil(t, turn)
			continue
		}
		require.NotNil(t, turn, i)
		turns = append(turns, turn)
	}
	require.Nil(t, g.enter(name(3), now), "one more of a modest one")
	for i, turn := range turns {
		select {
		case <-turn:
			t.Fatal("too early")
		default:
		}
		g.Leave("greedy")
		<-turn
		assert.Equal(t, least, g.clients["greedy"].underWay, i)
	}
}

// Where there is room nobody waits, and when others end, those who wait go on.
func TestRoomIsUsed(t *testing.T) {
	g, now := newTestGate(4)
	require.True(t, g.Enter("modest", now, 0))
	for range 4*perCPU - 1 {
		require.Nil(t, g.enter("greedy", now), "there is room")
	}
	first := g.enter("greedy", now)
	require.NotNil(t, first)
	g.Leave("modest")
	<-first
	now = now.Add(window)
	second := g.enter("greedy", now)
	require.NotNil(t, second, "the modest one was there a moment ago")
	now = now.Add(window)
	require.NotNil(t, g.enter("greedy", now), "in turn")
	g.Leave("greedy")
	<-second
	assert.Equal(t, 4*perCPU+1, g.clients["greedy"].underWay)
	assert.Equal(t, 4*perCPU+1, g.underWay)
}

// Greedy clients among themselves have much more under way, in equal shares.
func TestGreedyClientsShareMore(t *testing.T) {
	g, now := newTestGate(1)
	for i := range 10 * perCPUMany {
		g.enter(name(i%2), now)
	}
	g.Leave(name(0)) // the next answer shows that there is room
	for i := range 2 {
		assert.GreaterOrEqual(t, g.clients[name(i)].underWay, perCPUMany/2)
	}
	assert.LessOrEqual(t, g.underWay, perCPUMany*3/2)
	now = now.Add(window)
	require.Nil(t, g.enter("modest", now))
	for i := range 2 {
		for range 200 {
			if g.clients[name(i)].underWay > 0 {
				g.Leave(name(i))
			}
		}
	}
	assert.LessOrEqual(t, g.underWay, 2*least+1, "now there is a modest one")
}

// Who is silent is forgotten; who has a request under way is not, and counts.
func TestSilentClientsAreForgotten(t *testing.T) {
	g, now := newTestGate(1)
	require.True(t, g.Enter("slow", now, 0))
	for i := range 100 {
		require.True(t, g.Enter(name(i), now, 0))
		g.Leave(name(i))
	}
	for range 5 {
		now = now.Add(2 * window)
		require.True(t, g.Enter("other", now, 0))
		g.Leave("other")
	}
	assert.Len(t, g.clients, 2)
	assert.Equal(t, 2, g.now.clients)
	g.Leave("slow")
	for range 2 {
		now = now.Add(3 * window)
		require.True(t, g.Enter("other", now, 0))
		g.Leave("other")
	}
	assert.Equal(t, 1, g.now.clients)
	assert.Len(t, g.clients, 1)
}

func TestNoGateLetsInAll(t *testing.T) {
	var g *Gate
	require.True(t, g.Enter("a", time.Now(), 0))
	g.Leave("a")
}

// Many clients at once: nobody waits for ever, and nobody has more than its share under
// way for long.
func TestGateUnderLoad(t *testing.T) {
	g, _ := newTestGate(1)
	var wg sync.WaitGroup
	var done atomic.Int64
	for i := range 10 {
		for range 1 + i*2 {
			wg.Go(func() {
				for range 200 {
					require.True(t, g.Enter(name(i), time.Now(), time.Minute))
					if rand.IntN(20) == 0 {
						runtime.Gosched()
					}
					done.Add(1)
					g.Leave(name(i))
				}
			})
		}
	}
	wg.Wait()
	assert.EqualValues(t, 200*100, done.Load())
	assert.Zero(t, g.underWay)
	assert.Empty(t, g.queue)
	for _, c := range g.clients {
		assert.Zero(t, c.underWay)
		assert.Empty(t, c.waiting)
	}
}

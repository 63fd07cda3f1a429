package budget

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// connection is a Receiver.
type connection struct {
	mu    sync.Mutex
	taken uint64
	ended bool
}

func (c *connection) Taken() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

func (c *connection) EndStalled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
}

func (c *connection) read(n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken += n
}

func (c *connection) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// fill has a client hold as much as it gets.
func fill(t *testing.T, ac *Account) (held []*Share) {
	t.Helper()
	for range 10_000 {
		s := ShareOf(ac, &connection{})
		n, err := s.Take(1 << 20)
		if err != nil {
			assert.Equal(t, protocol.CodeOverloaded, err.Code)
			return held
		}
		s.Set(int64(n))
		held = append(held, &s)
	}
	t.Fatal("there is no bound")
	return nil
}

// However much one client holds, others get whole answers at once.
func TestOneClientDoesNotHoldEverything(t *testing.T) {
	const limit = 64 << 20
	b := NewAnswers(limit, 0, time.Minute)
	b.standstill = time.Millisecond
	greedy, modest := b.Account("greedy"), b.Account("modest")
	assert.Same(t, greedy, b.Account("greedy"), "of all of its connections")
	held := fill(t, greedy)
	assert.LessOrEqual(t, b.Used(), int64(limit/2))
	assert.Greater(t, b.Used(), int64(limit/3))
	b.maxWait, b.standstill = time.Hour, time.Hour
	for range 20 {
		s := ShareOf(modest, nil)
		n, err := s.Take(1 << 20)
		require.Nil(t, err)
		require.Equal(t, 1<<20, n)
		defer s.Release()
	}
	for _, s := range held {
		s.Release()
	}
	assert.Zero(t, greedy.used)
	assert.EqualValues(t, 20<<20, b.Used())
	greedy.Close()
	assert.Contains(t, b.accounts, "greedy")
	greedy.Close()
	modest.Close()
	assert.Empty(t, b.accounts)
	(*Account)(nil).Close()
}

// Who waits for what he holds himself holds up nobody, also among those that wait.
func TestWhoWaitsForHimselfHoldsUpNobody(t *testing.T) {
	const limit = 64 << 20
	b := NewAnswers(limit, 0, time.Minute)
	b.maxWait, b.standstill = time.Hour, time.Hour
	greedy, modest := b.Account("greedy"), b.Account("modest")
	var one Share
	for range 28 {
		one = ShareOf(greedy, nil)
		_, err := one.Take(1 << 20)
		require.Nil(t, err)
	}
	got := make(chan string, 10)
	take := func(who string, ac *Account, waiting int64) {
		go func() {
			s := ShareOf(ac, nil)
			n, err := s.Take(1 << 20)
			assert.Nil(t, err)
			assert.Equal(t, 1<<20, n)
			got <- who
		}()
		for b.waiting() != waiting {
			runtime.Gosched()
		}
	}
	take("greedy", greedy, 1)
	take("greedy", greedy, 2)
	for range 28 {
		s := ShareOf(modest, nil)
		n, err := s.Take(1 << 20)
		require.Nil(t, err)
		require.Equal(t, 1<<20, n)
	}
	require.EqualValues(t, 2, b.waiting())
	third := b.Account("third")
	take("third", third, 3)
	b.mu.Lock()
	modest.give(1 << 20)
	b.mu.Unlock()
	assert.Equal(t, "third", <-got)
	one.Release()
	assert.Equal(t, "greedy", <-got)
	assert.EqualValues(t, 1, b.waiting())
	b.mu.Lock()
	greedy.give(1 << 20)
	b.mu.Unlock()
	assert.Equal(t, "greedy", <-got)
}

// While room is scarce, answers that do not move are ended; those that move, however
// slowly, are not, nor are those that are still being made.
func TestStalledAnswersAreEndedWhileRoomIsScarce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 16 << 20
		b := NewAnswers(limit, limit, 5*time.Second)
		alone := b.Account("alone")
		var stalled, slow, making connection
		send := func(to *connection, n int64) *Share {
			s := ShareOf(alone, to)
			_, err := s.Take(int(n))
			require.Nil(t, err)
			s.Set(n)
			return &s
		}
		first, second := send(&stalled, 1<<20), send(&slow, 1<<20)
		third := ShareOf(alone, &making)
		_, err := third.Take(1 << 20)
		require.Nil(t, err)
		<-time.After(time.Hour)
		assert.False(t, stalled.over(), "there is room")

		other := b.Account("other")
		much := ShareOf(other, nil)
		much.Set(limit / 2)
		for range 20 {
			<-time.After(time.Second)
			slow.read(1)
		}
		assert.True(t, stalled.over())
		assert.False(t, slow.over(), "it moves")
		assert.False(t, making.over(), "it is not there yet")
		for _, s := range []*Share{first, second, &third, &much} {
			s.Release()
		}
		assert.Nil(t, b.holding)
		<-time.After(time.Minute)
		assert.False(t, watching(b), "nobody looks any more")
	})
}

// A client that holds more than half of what it may have loses those of its answers
// that do not move; others keep theirs.
func TestStalledAnswersOfAClientThatHoldsMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewAnswers(64<<20, 16<<20, 5*time.Second)
		greedy, modest := b.Account("greedy"), b.Account("modest")
		var one, other connection
		a, c := ShareOf(greedy, &one), ShareOf(modest, &other)
		a.Set(9 << 20)
		c.Set(1 << 20)
		<-time.After(time.Minute)
		assert.True(t, one.over())
		assert.False(t, other.over())
		a.Release()
		c.Release()
		<-time.After(time.Minute)
		assert.False(t, watching(b))
	})
}

func watching(a *Answers) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watching
}

// What is refused because of the client's own part names that part, also where less would
// have had room in it; what is refused because of others names what all have.
func TestRefusalsNameTheLimitThatRefuses(t *testing.T) {
	const limit, own = 16 << 20, 1 << 20
	b := NewAnswers(limit, own, time.Minute)
	client := b.Account("client")
	defer client.Close()
	held, more := ShareOf(client, nil), ShareOf(client, nil)
	held.Set(own - 100<<10)
	_, err := more.Take(SmallAnswer)
	require.Nil(t, err)
	err = more.Keep(400 << 10)
	require.NotNil(t, err)
	assert.EqualValues(t, own, err.Details["limit"])
	err = more.SetIfFree(200 << 10)
	require.NotNil(t, err)
	assert.EqualValues(t, own, err.Details["limit"])
	held.Release()

	others := b.Share()
	others.Set(limit - 100<<10)
	err = more.SetIfFree(200 << 10)
	require.NotNil(t, err)
	assert.EqualValues(t, limit, err.Details["limit"])
	others.Release()
}

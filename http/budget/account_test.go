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

// What nobody waits for is reserved while less than half is used with it: of what the
// client may hold itself, and of what all may. A refusal names the limit that refuses.
func TestSpareRoom(t *testing.T) {
	const limit, own = 64 << 20, 16 << 20
	b := NewAnswers(limit, own, time.Minute)
	client, other := b.Account("client"), b.Account("other")
	defer client.Close()
	defer other.Close()
	spare := ShareOf(client, nil)
	refused := func(limit int64) {
		t.Helper()
		n, err := spare.TakeSpare(1000)
		require.NotNil(t, err)
		assert.Equal(t, protocol.CodeOverloaded, err.Code)
		assert.EqualValues(t, limit, err.Details["limit"])
		assert.Zero(t, n)
		assert.Zero(t, spare.Held())
	}
	n, err := spare.TakeSpare(1000)
	require.Nil(t, err)
	assert.Equal(t, 1000, n)
	n, err = spare.TakeSpare(10 << 20)
	require.Nil(t, err)
	assert.Equal(t, ordinaryAnswer, n, "no more than an ordinary answer")
	assert.EqualValues(t, n, b.Used(), "in the place of what it held")
	spare.Release()

	held := ShareOf(client, nil)
	held.Set(own/2 - 999)
	refused(own)
	held.Set(own/2 - 1000)
	_, err = spare.TakeSpare(1000)
	require.Nil(t, err, "half is not used with it")
	spare.Release()
	held.Release()

	all := ShareOf(other, nil)
	all.Set(limit/2 - 999)
	refused(limit)
	all.Release()
	assert.Zero(t, b.Used())
}

// An answer whose connection is not ended while it is made is ended like others once it is
// on its way.
func TestAnswersAreSentBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewAnswers(16<<20, 16<<20, 5*time.Second)
		client := b.Account("client")
		defer client.Close()
		var to connection
		s := ShareOf(client, nil)
		_, err := s.Take(1 << 20)
		require.Nil(t, err)
		much := ShareOf(client, nil)
		much.Set(10 << 20)
		<-time.After(time.Minute)
		s.SendBy(&to)
		assert.EqualValues(t, 1<<20, s.Held())
		assert.EqualValues(t, 11<<20, b.Used())
		<-time.After(4 * time.Second)
		assert.False(t, to.over(), "its time begins when it is sent")
		<-time.After(4 * time.Second)
		assert.True(t, to.over())
		s.Release()
		much.Release()
		assert.Nil(t, b.holding)
		assert.Zero(t, b.Used())
	})
}

// Most partitions of a fetch bring nothing: they do not hold up the answers of others.
func TestWhatHoldsNothingIsSentWithoutWaiting(t *testing.T) {
	b := NewAnswers(16<<20, 0, time.Minute)
	s := b.Share()
	sent := make(chan struct{})
	b.mu.Lock()
	go func() {
		defer close(sent)
		s.SendBy(&connection{})
	}()
	select {
	case <-sent:
	case <-time.After(5 * time.Second):
		t.Error("it waits for the answers of others")
	}
	b.mu.Unlock()
	<-sent
}

package budget

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func (a *Answers) waiting() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, ac := range a.turns {
		n += len(ac.queue)
	}
	return int64(n)
}

func shareOf(a *Answers) *Share {
	s := a.Share()
	return &s
}

func tryTake(a *Answers, n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.others.takeWithin(n, true)
}

func give(a *Answers, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.others.give(n)
}

func TestAnswersShareTheirBudget(t *testing.T) {
	const limit = 8 << 20
	b := NewAnswers(limit, 0, time.Minute)
	var held []*Share
	last := limit
	for {
		r := shareOf(b)
		n, err := r.Take(limit)
		if err != nil {
			assert.Equal(t, protocol.CodeOverloaded, err.Code)
			break
		}
		held = append(held, r)
		assert.LessOrEqual(t, n, last, "what is left gets less")
		assert.GreaterOrEqual(t, n, SmallAnswer)
		last = n
	}
	assert.EqualValues(t, 7<<20/answerShare, held[0].held, "an eighth of what is not reserved")
	assert.Greater(t, len(held), limit/reserveShare/SmallAnswer, "small answers have the reserve")
	assert.LessOrEqual(t, b.Used(), int64(limit))

	held[len(held)-1].Release()
	small := shareOf(b)
	n, err := small.Take(100)
	require.Nil(t, err)
	assert.Equal(t, 100, n)
	require.Nil(t, small.Keep(40))
	assert.EqualValues(t, 40, small.held, "what was not read goes back")
	require.Nil(t, small.Keep(4000), "a last record may be of the reserve")
	assert.NotNil(t, small.Keep(1<<20), "a large one may not")
	assert.Zero(t, small.held)

	for _, r := range held {
		r.Release()
	}
	assert.Zero(t, b.Used())
	_, err = small.Take(SmallAnswer)
	require.Nil(t, err)
	require.Nil(t, small.Keep(2*limit), "who is alone may read any record")
	small.Release()
	assert.Zero(t, b.Used())
}

// Whatever many do at the same time, no more is granted than there is, and
// all of it comes back.
func TestAnswersShareTheirBudgetAtOnce(t *testing.T) {
	const limit = 1 << 20
	b := NewAnswers(limit, 0, time.Minute)
	b.maxWait, b.standstill = time.Millisecond, 50*time.Microsecond
	var all sync.WaitGroup
	for seed := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			rooms := make([]Share, 20)
			for range 5000 {
				r := &rooms[rnd.IntN(len(rooms))]
				r.ac = b.others
				switch rnd.IntN(3) {
				case 0:
					_, _ = r.Take(1 + rnd.IntN(limit))
				case 1:
					_ = r.Keep(rnd.IntN(int(r.held) + SmallAnswer))
				default:
					r.Release()
				}
				if used := b.Used(); used > limit || used < 0 {
					t.Errorf("%d bytes are held of %d", used, limit)
					return
				}
			}
			for i := range rooms {
				rooms[i].ac = b.others
				rooms[i].Release()
			}
		}()
	}
	all.Wait()
	assert.Zero(t, b.Used())
}

// As long as answers are read, none is shorter than asked for, however many
// there are; who comes first is served first.
func TestOrdinaryAnswersAreWhole(t *testing.T) {
	const limit, answer, readers = 8 << 20, 200 << 10, 1000 // together 25 times as much
	b := NewAnswers(limit, 0, time.Minute)
	b.maxWait, b.standstill = time.Minute, time.Minute
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			r := shareOf(b)
			for range 3 {
				n, err := r.Take(answer)
				if !assert.Nil(t, err) || !assert.Equal(t, answer, n) {
					return
				}
				assert.LessOrEqual(t, b.Used(), int64(limit))
				assert.Nil(t, r.Keep(answer-1000))
				r.Set(answer + 1000) // as it is rendered
				r.Release()
			}
		})
	}
	all.Wait()
	assert.Zero(t, b.Used())
	assert.Zero(t, b.waiting())
}

func TestAnswersWaitInTurn(t *testing.T) {
	const limit = 8 << 20
	b := NewAnswers(limit, 0, time.Minute)
	b.maxWait, b.standstill = time.Minute, time.Minute
	require.True(t, tryTake(b, b.Open()))
	got := make(chan int, 2)
	var rooms [2]Share
	for i, want := range []int{500 << 10, 100 << 10} {
		rooms[i].ac = b.others
		go func() {
			n, err := rooms[i].Take(want)
			assert.Nil(t, err)
			got <- n
		}()
		for b.waiting() != int64(i+1) {
			runtime.Gosched()
		}
	}
	small := shareOf(b)
	n, err := small.Take(SmallAnswer)
	require.Nil(t, err)
	assert.Equal(t, SmallAnswer, n, "small answers need not wait")
	small.Release()
	give(b, 200<<10)
	require.EqualValues(t, 2, b.waiting(), "the second does not overtake the first")
	give(b, 300<<10)
	assert.Equal(t, 500<<10, <-got)
	require.EqualValues(t, 1, b.waiting())
	give(b, 100<<10)
	assert.Equal(t, 100<<10, <-got)
	assert.LessOrEqual(t, b.Used(), b.Open())
}

// Where nothing is given back one read waits in vain, and others learn of it.
func TestWaitingInVain(t *testing.T) {
	const limit = 8 << 20
	b := NewAnswers(limit, 0, time.Minute)
	b.maxWait, b.standstill = time.Minute, 10*time.Millisecond
	require.True(t, tryTake(b, b.Open()))
	var rooms [3]Share
	for i := range rooms {
		rooms[i].ac = b.others
		b.standstill = []time.Duration{time.Millisecond, time.Hour, time.Millisecond}[i]
		n, err := rooms[i].Take(1 << 20)
		require.Nil(t, err)
		assert.Equal(t, SmallAnswer, n)
		if i == 1 {
			give(b, muchReturned) // the next one waits again
			require.True(t, tryTake(b, muchReturned))
		}
	}
	assert.Zero(t, b.waiting())
	give(b, 2<<20)
	n, err := shareOf(b).Take(1 << 20)
	require.Nil(t, err)
	assert.Equal(t, b.others.ordinary(), int64(n))
}

// BenchmarkShare takes the steps of an ordinary answer, from its read until it was
// sent.
func BenchmarkShare(b *testing.B) {
	a := NewAnswers(128<<20, 0, time.Minute)
	b.RunParallel(func(pb *testing.PB) {
		s := a.Share()
		for pb.Next() {
			_, _ = s.Take(200 << 10)
			_ = s.Keep(190 << 10)
			s.Set(210 << 10)
			s.Release()
		}
	})
}

package background

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const mib = 1 << 20

// take takes a piece and says how long that took.
func take(c *CatchUp, feed context.Context, t Turn) (*Grant, time.Duration) {
	began := time.Now()
	g := c.Take(feed, t)
	return g, time.Since(began)
}

func TestCatchUpKeepsThePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCatchUp(10*mib, time.Now)
		feed, end := context.WithCancel(t.Context())
		defer end()
		began := time.Now()
		for range 100 {
			g, _ := take(c, feed, Turn{Bytes: mib, Paced: true})
			g.Read(mib / 2) // less than was asked for counts as that
			g.Release()
		}
		assert.InDelta(t, 5, time.Since(began).Seconds(), 0.2)
		g, took := take(c, feed, Turn{Bytes: mib})
		assert.Zero(t, took, "what is not paced does not wait")
		g.Release()
		assert.EqualValues(t, 50*mib, c.Metrics().Bytes)
		assert.Zero(t, c.Metrics().Held)
	})
}

func TestCatchUpBoundsMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCatchUp(0, time.Now)
		feed, end := context.WithCancel(t.Context())
		var grants []*Grant
		for range catchUpRoom / mib {
			g, took := take(c, feed, Turn{Bytes: mib})
			require.Zero(t, took)
			grants = append(grants, g)
		}
		time.AfterFunc(time.Second, grants[0].Release)
		g, took := take(c, feed, Turn{Bytes: mib})
		assert.Equal(t, time.Second, took, "it waits until there is room")
		g.Read(5 * mib) // one entry was larger than a piece: what is held, is held
		assert.EqualValues(t, catchUpRoom+4*mib, c.Metrics().Held)
		end()
		synctest.Wait()
		assert.Zero(t, c.Metrics().Held, "the end of a feed releases what it holds")
		assert.Zero(t, c.Metrics().Followers)
		grants[1].Release()
		assert.Zero(t, c.Metrics().Held, "once")
	})
}

func TestCatchUpFeedsSomeOfAPeerAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCatchUp(0, time.Now)
		var (
			mu    sync.Mutex
			order []int
			wg    sync.WaitGroup
			ends  []context.CancelFunc
		)
		for i := range 4 {
			feed, end := context.WithCancel(t.Context())
			ends = append(ends, end)
			wg.Go(func() {
				for range 2 {
					if c.Take(feed, Turn{Peer: 7, Bytes: mib, Paced: true}) == nil {
						return
					}
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
				}
			})
			synctest.Wait()
		}
		other, end := context.WithCancel(t.Context())
		defer end()
		require.NotNil(t, c.Take(other, Turn{Peer: 8, Bytes: mib, Paced: true}), "another peer does not wait")
		assert.Equal(t, []int{0, 0, 1, 1}, order)
		assert.Equal(t, 2, c.Metrics().Waiting)
		ends[2]() // it gives up before its turn
		synctest.Wait()
		ends[0]()
		synctest.Wait()
		assert.Equal(t, []int{0, 0, 1, 1, 3, 3}, order, "the next one's turn")
		for _, end := range ends {
			end()
		}
		wg.Wait()
	})
}

func TestCatchUpKnowsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCatchUp(8*mib, time.Now)
		feed, end := context.WithCancel(t.Context())
		defer end()
		assert.Zero(t, c.Rate(feed))
		for i := range 80 {
			g, _ := take(c, feed, Turn{Bytes: mib, Paced: true})
			g.Read(mib)
			g.Release()
			c.Note(feed, int64(100-i)*mib)
		}
		assert.InEpsilon(t, 8*mib, c.Rate(feed), 0.15)
		assert.EqualValues(t, 21*mib, c.Metrics().Left)
	})
}

// Who is waited for does not stand behind those who are fed for hours.
func TestCatchUpOfVotersDoesNotWaitForLearners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCatchUp(mib, time.Now)
		feeds := make([]context.Context, catchUpFeeds)
		for i := range feeds {
			var end context.CancelFunc
			feeds[i], end = context.WithCancel(t.Context())
			defer end()
			g, _ := take(c, feeds[i], Turn{Peer: 3, Bytes: mib, Paced: true})
			g.Release()
		}
		for range 3 {
			voter, end := context.WithCancel(t.Context())
			defer end()
			g, took := take(c, voter, Turn{Peer: 3, Bytes: mib})
			assert.Zero(t, took)
			g.Release()
		}
	})
}

// countingFeed counts what waits for its end, which never comes.
type countingFeed struct {
	context.Context
	end   chan struct{}
	waits int
}

func (f *countingFeed) Done() <-chan struct{} { return f.end }

func (f *countingFeed) AfterFunc(func()) func() bool {
	f.waits++
	return func() bool {
		f.waits--
		return true
	}
}

func TestCatchUpKeepsNothingOfPiecesThatWereReleased(t *testing.T) {
	c := NewCatchUp(0, time.Now)
	feed := &countingFeed{Context: t.Context(), end: make(chan struct{})}
	for range 1000 {
		c.Take(feed, Turn{Bytes: 1}).Release()
	}
	assert.Equal(t, 1, feed.waits, "that of the feed itself")
}

// The least pace that can be configured is kept, although one piece is more than a second.
func TestCatchUpKeepsALowPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCatchUp(64<<10, time.Now)
		feed, end := context.WithCancel(t.Context())
		defer end()
		began := time.Now()
		for range 11 {
			g, _ := take(c, feed, Turn{Bytes: 256 << 10, Paced: true})
			g.Read(256 << 10)
			g.Release()
		}
		assert.InDelta(t, 40, time.Since(began).Seconds(), 0.2)
	})
}

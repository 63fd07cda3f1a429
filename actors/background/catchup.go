package background

import (
	"context"
	"slices"
	"sync"
	"time"

	"ottla/protocol"
)

// CatchUp bounds what is read for followers that are far behind: by all partitions of
// the process together so many bytes per second and so many in memory, and for one peer so
// many followers at once, in the order in which they came. So each of them gets
// ready soon, and reads its files one after the other. All methods may be called
// from any goroutine.
type CatchUp struct {
	rate int64 // bytes per second; 0: any number
	room int64 // bytes in memory
	now  func() time.Time

	mu      sync.Mutex
	free    time.Time // when the bytes granted so far are paid for
	held    int64
	bytes   uint64
	waiting []*turn
	feeds   map[context.Context]*fed
	timer   *time.Timer // looks again when free has come; nil: none
}

const (
	catchUpFeeds = 2                      // of one peer at once
	catchUpRoom  = 32 << 20               // bytes
	catchUpBurst = 100 * time.Millisecond // that was not used and may be made up for
	catchUpDebt  = time.Second            // that what is not paced leaves to what is
)

// NewCatchUp returns what bounds followers to so many bytes per second; 0: to any number.
func NewCatchUp(bytesPerSecond int64, now func() time.Time) *CatchUp {
	return &CatchUp{rate: bytesPerSecond, room: catchUpRoom, now: now, feeds: map[context.Context]*fed{}}
}

// Turn is what somebody wants to read.
type Turn struct {
	Peer  uint64 // where the follower is; 0: in this process
	Bytes int64  // at most, as far as can be told
	Paced bool
}

// turn is one that waits.
type turn struct {
	Turn
	feed    context.Context
	granted chan struct{}
}

// fed is a follower that is being fed.
type fed struct {
	peer  uint64
	paced bool   // as of its last turn
	bytes uint64 // granted so far
	left  int64  // see Note
	rate  float64
	at    time.Time // when rate was looked at last
	was   uint64    // bytes at that moment
}

// Grant is the right to hold some bytes.
type Grant struct {
	c     *CatchUp
	feed  *fed
	bytes int64
	stop  func() bool // ends the wait for the end of the feed

	released bool
}

// Take waits until a piece may be read for a follower, which its feed stands for: a
// context that ends when the follower is fed no more. It returns nil when that has
// ended. What was granted is given back by Release, or when the feed ends.
func (c *CatchUp) Take(feed context.Context, want Turn) *Grant {
	t := &turn{want, feed, make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, t)
	c.grant()
	c.mu.Unlock()
	select {
	case <-t.granted:
	case <-feed.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := slices.Index(c.waiting, t); i >= 0 {
			c.waiting = slices.Delete(c.waiting, i, i+1)
		} else {
			c.held -= want.Bytes
		}
		c.grant()
		return nil
	}
	c.mu.Lock()
	g := &Grant{c: c, feed: c.feeds[feed], bytes: want.Bytes}
	if g.feed == nil { // it has ended just now
		g.feed = &fed{}
	}
	defer c.mu.Unlock()
	g.stop = context.AfterFunc(feed, g.Release)
	return g
}

// grant lets those read whose turn it is. Locked.
func (c *CatchUp) grant() {
	now := c.now()
	c.waiting = slices.DeleteFunc(c.waiting, func(t *turn) bool {
		if !c.fits(t, now) {
			return false
		}
		if c.feeds[t.feed] == nil {
			c.feeds[t.feed] = &fed{peer: t.Peer, at: now}
			context.AfterFunc(t.feed, func() { c.ended(t.feed) })
		}
		c.feeds[t.feed].paced = t.Paced
		c.held += t.Bytes
		c.charge(t.Bytes, t.Paced, now)
		close(t.granted)
		return true
	})
	if c.timer == nil && now.Before(c.free) && slices.ContainsFunc(c.waiting, func(t *turn) bool { return t.Paced }) {
		c.timer = time.AfterFunc(c.free.Sub(now), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.timer = nil
			c.grant()
		})
	}
}

// fits reports whether a turn has come. Who is not paced is waited for, and does not wait
// for others of its peer, which may take hours. Locked.
func (c *CatchUp) fits(t *turn, now time.Time) bool {
	if t.Paced && c.rate > 0 && now.Before(c.free) || c.held > 0 && c.held+t.Bytes > c.room {
		return false
	}
	if c.feeds[t.feed] != nil || !t.Paced {
		return true
	}
	n := 0
	for _, f := range c.feeds {
		if f.peer == t.Peer && f.paced {
			n++
		}
	}
	return n < catchUpFeeds
}

// charge has bytes paid for, or, if they are fewer than none, paid back. Those that are not
// paced leave a debt of catchUpDebt at most. Locked.
func (c *CatchUp) charge(bytes int64, paced bool, now time.Time) {
	if c.rate == 0 {
		return
	}
	if least := now.Add(-catchUpBurst); c.free.Before(least) {
		c.free = least
	}
	before := c.free
	c.free = before.Add(time.Duration(float64(bytes) / float64(c.rate) * float64(time.Second)))
	if most := now.Add(catchUpDebt); !paced && c.free.After(most) {
		c.free = most
		if before.After(most) {
			c.free = before
		}
	}
}

// ended makes room for another follower of the peer.
func (c *CatchUp) ended(feed context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.feeds, feed)
	c.grant()
}

// Read says how many bytes were read in fact.
func (g *Grant) Read(bytes int) {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	if g.released {
		return
	}
	more := int64(bytes) - g.bytes
	g.bytes = int64(bytes)
	g.c.held += more
	g.c.bytes += uint64(bytes)
	g.feed.bytes += uint64(bytes)
	g.c.charge(more, g.feed.paced, g.c.now())
	g.c.grant()
}

// Release says that the bytes are not held any more. Only the first call counts.
func (g *Grant) Release() {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	if !g.released {
		g.released = true
		g.stop()
		g.c.held -= g.bytes
		g.c.grant()
	}
}

// Note says how many bytes a follower still lacks, about.
func (c *CatchUp) Note(feed context.Context, left int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.feeds[feed]
	if f == nil {
		return
	}
	f.left = left
	if took := c.now().Sub(f.at); took >= time.Second {
		rate := float64(f.bytes-f.was) / took.Seconds()
		if f.was > 0 {
			rate = (2*f.rate + rate) / 3
		}
		f.rate, f.at, f.was = rate, c.now(), f.bytes
	}
}

// Rate is how many bytes per second a follower has got lately; 0 if none, or that
// cannot be told yet.
func (c *CatchUp) Rate(feed context.Context) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.feeds[feed]; f != nil {
		return int64(f.rate)
	}
	return 0
}

// Metrics describes what is going on.
func (c *CatchUp) Metrics() protocol.CatchUpMetrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := protocol.CatchUpMetrics{Bytes: c.bytes, Held: c.held, Followers: len(c.feeds)}
	for _, t := range c.waiting {
		if c.feeds[t.feed] == nil {
			m.Waiting++
		}
	}
	for _, f := range c.feeds {
		m.Left += f.left
	}
	return m
}

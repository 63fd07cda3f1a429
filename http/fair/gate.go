package fair

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// window is how long a client counts among those who want their share after it has
	// sent a request: one or two windows. It bridges the pause between an answer and the
	// next request.
	window = 100 * time.Millisecond
	// least is how many requests a client may have under way, however many others there are.
	least = 2
	// perCPU is how many requests for each CPU keep a server busy. More of them make it
	// faster, as larger groups are committed at once, but each of them slower. perCPUMany is
	// for clients that all have more than least under way.
	perCPU     = 3
	perCPUMany = 64
	// lookInterval is how often a request that waits looks whether it is still wanted.
	lookInterval = 250 * time.Millisecond
)

// Gate lets requests in. A nil Gate lets in all.
type Gate struct {
	cpus     int
	mu       sync.Mutex
	underWay int       // requests, of all clients
	queue    []*client // those with waiting requests, in turn
	clients  map[string]*client
	began    time.Time // the present window
	number   uint64    // of the present window
	now      census    // of the present window
	before   census    // of the window before
}

// census is how many clients there were in a window, and how many of them were greedy:
// they had more than least requests under way.
type census struct{ clients, greedy int }

// client is one who sends requests.
type client struct {
	underWay int
	waiting  []chan struct{} // those whose turn comes later, oldest first
	window   uint64          // when it sent a request last
	greedy   uint64          // the last window in which it was greedy
}

// NewGate returns a gate for as many CPUs as the process may use.
func NewGate() *Gate {
	return &Gate{cpus: runtime.GOMAXPROCS(0), clients: map[string]*client{}, number: 1}
}

// Enter waits until a request of the client may begin, for up to patience. It waits only
// while other requests of the same client are under way. Leave must follow, unless it
// returns false: then the request has not begun.
func (g *Gate) Enter(who string, now time.Time, patience time.Duration) bool {
	return g.EnterWhile(who, now, patience, nil)
}

// EnterWhile is Enter for a request that may lose its point while it waits: wanted says
// whether it has one. It is called now and then while the request waits, and when its turn
// has come after that; nil: it is wanted to the end.
func (g *Gate) EnterWhile(who string, now time.Time, patience time.Duration, wanted func() bool) bool {
	turn := g.enter(who, now)
	if turn == nil {
		return true
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	var look <-chan time.Time
	if wanted != nil {
		tick := time.NewTicker(lookInterval)
		defer tick.Stop()
		look = tick.C
	}
	for {
		select {
		case <-turn:
		case <-t.C:
			if g.giveUp(who, turn) {
				return false
			}
		case <-look:
			if wanted() {
				continue
			}
			if g.giveUp(who, turn) {
				return false
			}
		}
		if wanted != nil && !wanted() {
			g.Leave(who)
			return false
		}
		return true
	}
}

// giveUp takes a request out of those that wait, and returns false if its turn has come.
func (g *Gate) giveUp(who string, turn chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.clients[who]
	i := slices.Index(c.waiting, turn)
	if i < 0 {
		return false
	}
	if c.waiting = slices.Delete(c.waiting, i, i+1); len(c.waiting) == 0 {
		g.queue = slices.DeleteFunc(g.queue, func(q *client) bool { return q == c })
	}
	return true
}

func (g *Gate) enter(who string, now time.Time) (turn chan struct{}) {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.began) >= window {
		g.next(now)
	}
	c := g.clients[who]
	if c == nil {
		c = &client{}
		g.clients[who] = c
	}
	if c.window != g.number {
		c.window = g.number
		g.now.clients++
	}
	if c.greedy != g.number && (c.underWay >= least || len(c.waiting) > 0) {
		c.greedy = g.number
		g.now.greedy++
	}
	if len(c.waiting) == 0 && g.admits(c) {
		c.underWay++
		g.underWay++
		return nil
	}
	turn = make(chan struct{})
	if c.waiting = append(c.waiting, turn); len(c.waiting) == 1 {
		g.queue = append(g.queue, c)
	}
	return turn
}

// admits reports whether a request of c may begin.
func (g *Gate) admits(c *client) bool {
	n := max(g.now.clients, g.before.clients)
	if n < 2 {
		return true
	}
	busy := perCPU * g.cpus
	if max(g.now.greedy, g.before.greedy) >= n {
		busy = perCPUMany * g.cpus
	}
	return g.underWay < busy || c.underWay < max(least, busy/n)
}

// Leave says that a request has been answered, or waits for something that takes no
// part of the server.
func (g *Gate) Leave(who string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clients[who].underWay--
	g.underWay--
	for skipped := 0; skipped < len(g.queue); { // whoever may, in turn
		c := g.queue[0]
		if g.queue = g.queue[1:]; !g.admits(c) {
			g.queue = append(g.queue, c)
			skipped++
			continue
		}
		skipped = 0
		close(c.waiting[0])
		c.waiting = c.waiting[1:]
		c.underWay++
		g.underWay++
		if len(c.waiting) > 0 {
			g.queue = append(g.queue, c)
		}
	}
}

// next begins a window, and forgets clients that have sent nothing in the last one.
func (g *Gate) next(now time.Time) {
	g.before = g.now
	if now.Sub(g.began) >= 2*window {
		g.before = census{}
	}
	g.began, g.now = now, census{}
	g.number++
	for who, c := range g.clients {
		if c.underWay > 0 {
			c.window = g.number // it wants its share as long as it has something under way
			g.now.clients++
			if c.underWay > least {
				c.greedy = g.number
				g.now.greedy++
			}
		} else if c.window+1 < g.number {
			delete(g.clients, who)
		}
	}
}

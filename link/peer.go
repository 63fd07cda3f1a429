package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	redialFirst = 50 * time.Millisecond
	redialLast  = time.Second
)

// laneCounts are the counters of one lane of a peer.
type laneCounts struct {
	connections, sentFrames, sentBytes, received, recvBytes, dropped atomic.Uint64
}

// peer is another node of the fleet, and everything that connects with it.
//
// What is under mu changes together: the verdict, what the handler was told of it, and which
// process of the node it is about. The handler is told by one goroutine (tell), in order and
// without mu, because it may wait and may call back.
type peer struct {
	l      *Links
	id     NodeID
	ctx    context.Context
	stop   context.CancelFunc
	wake   chan struct{} // dial now
	counts [Lanes]laneCounts
	dialed [Lanes]atomic.Pointer[conn] // by which this node sends; set under mu

	mu       sync.Mutex
	is       Peer
	said     Identity      // its last hello
	accepted [Lanes]*conn  // connections by which the peer sends
	live     liveness      // what this node thinks of it
	told     bool          // what the handler was told
	reported []NodeID      // who is up for it
	news     []func()      // for the handler, in order
	newsSet  chan struct{} // there is news
	lastErr  string
	left     uint64 // the process that has said goodbye
	named    string // the address that SetPeers has named last; is has where it is
	ended    bool   // it is no peer any more
	hasty    int    // connections in a row that did not last
}

func (l *Links) newPeer(is Peer) *peer {
	p := &peer{l: l, id: is.ID, is: is, named: is.Address, live: newLiveness(l.cfg.Timings), wake: make(chan struct{}, 1), newsSet: make(chan struct{}, 1)}
	p.ctx, p.stop = context.WithCancel(l.ctx)
	l.running.Go(p.redial)
	l.running.Go(p.tell)
	return p
}

// calls notes where a peer says that it is: it knows that before those who name it to
// this node do.
func (p *peer) calls(address string) {
	p.mu.Lock()
	changed := address != "" && p.is.Address != address
	if changed {
		p.is.Address = address
	}
	p.mu.Unlock()
	if changed {
		p.poke()
	}
}

// end closes what connects with the peer.
func (p *peer) end(why error) {
	p.mu.Lock()
	p.live.leaves()
	// Down is told before it is no peer any more; after that nothing is.
	p.judge(p.l.now())
	p.ended = true
	p.mu.Unlock()
	p.stop()
	p.disconnect(why)
}

// connections lists those in both directions. Locked.
func (p *peer) connections() []*conn {
	conns := slices.Clone(p.accepted[:])
	for lane := range lanes {
		conns = append(conns, p.dialed[lane].Load())
	}
	return slices.DeleteFunc(conns, func(c *conn) bool { return c == nil })
}

// disconnect closes all connections of a peer.
func (p *peer) disconnect(why error) {
	p.mu.Lock()
	conns := p.connections()
	p.mu.Unlock()
	closeAll(conns, why)
}

func closeAll(conns []*conn, why error) {
	for _, c := range conns {
		c.close(why)
	}
}

// redial is the one place that decides when the peer is dialed. One lane after the other:
// where the first cannot be made the others cannot either.
func (p *peer) redial() {
	wait := redialFirst
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.wake:
			wait = redialFirst
		case <-timer.C:
		}
		failed := p.dialMissing()
		if !failed {
			wait = redialFirst
			continue
		}
		// Between half of the pause and the whole of it, so that nodes that have
		// lost each other do not meet at the same moment for ever.
		timer.Reset(wait/2 + rand.N(wait/2))
		wait = min(2*wait, redialLast)
	}
}

// dialMissing dials each lane that has no connection, and reports whether one is
// still missing.
func (p *peer) dialMissing() (failed bool) {
	for lane := range lanes {
		p.mu.Lock()
		have := p.dialed[lane].Load() != nil
		address := p.is.Address
		p.mu.Unlock()
		if have {
			continue
		}
		c, err := p.l.dial(p.ctx, address, lane, p)
		if err == nil {
			err = p.adopt(c)
		}
		if err != nil {
			p.failed(lane, err)
			return true
		}
	}
	return false
}

// failed notes why a connection could not be made, and logs what is new.
func (p *peer) failed(lane Lane, err error) {
	if p.ctx.Err() != nil {
		return
	}
	if refused := (*Refusal)(nil); errors.As(err, &refused) && refused.Reason == ReasonRetired {
		p.l.expelled.Store(true)
	}
	p.mu.Lock()
	text := err.Error()
	isNew := text != p.lastErr
	p.lastErr = text
	address := p.is.Address
	p.mu.Unlock()
	if isNew {
		p.l.log.Warn("a node cannot be reached", "node", p.id, "address", address, "lane", lane.String(), "error", err)
	}
}

// adopt makes a connection that was dialed the one to send by.
func (p *peer) adopt(c *conn) error {
	p.mu.Lock()
	stale, err := p.take(c.other)
	if err != nil {
		p.mu.Unlock()
		c.close(err)
		return err
	}
	p.counts[c.lane].connections.Add(1)
	p.dialed[c.lane].Store(c)
	p.announce(func() { p.l.cfg.Handler.Connected(p.id, c.lane) })
	p.lanesChanged()
	p.mu.Unlock()
	closeAll(stale, errReplaced)
	p.l.running.Go(func() {
		c.serve()
		p.mu.Lock()
		// Unless another connection has its place by now.
		p.dialed[c.lane].CompareAndSwap(c, nil)
		if !isEnd(c.err) {
			p.lastErr = fmt.Sprintf("%s: %v", c.lane, c.err)
		}
		p.lanesChanged()
		p.mu.Unlock()
		p.dialSoon(c)
	})
	p.ping()
	return nil
}

// dialSoon has a lost connection dialed again: at once if it had lasted, else after
// a pause that doubles, so that one that the other side closes at once is not made
// again and again.
func (p *peer) dialSoon(c *conn) {
	p.mu.Lock()
	if time.Since(c.began) >= redialLast {
		p.hasty = 0
	} else {
		p.hasty++
	}
	hasty := p.hasty
	p.mu.Unlock()
	if hasty == 0 {
		p.poke()
		return
	}
	pause := min(redialFirst<<min(hasty-1, 10), redialLast)
	time.AfterFunc(pause/2+rand.N(pause/2), p.poke)
}

// poke has missing connections dialed now.
func (p *peer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// lanesChanged tells liveness whether all lanes stand. Locked.
func (p *peer) lanesChanged() {
	now := p.l.now()
	stand := true
	for lane := range lanes {
		stand = stand && p.dialed[lane].Load() != nil
	}
	if stand {
		p.lastErr = ""
	}
	p.live.lanesStand(now, stand)
	p.judge(now)
}

// judge tells the handler when the verdict has changed. Locked.
func (p *peer) judge(now time.Duration) {
	up := p.live.verdict(now)
	if up == p.told || p.ended {
		return
	}
	p.told = up
	said := p.said
	if up {
		p.announce(func() { p.l.cfg.Handler.Up(said) })
		return
	}
	conns := p.connections() // down is down for all lanes, and first of all calls end
	p.announce(func() {
		closeAll(conns, errDown)
		for _, c := range conns {
			// Down promises that all calls have ended. Whoever hears of it may give the same
			// work to somebody else.
			c.ended()
		}
		p.l.cfg.Handler.Down(p.id)
	})
}

// announce queues something for the handler. Locked.
func (p *peer) announce(f func()) {
	p.news = append(p.news, f)
	select {
	case p.newsSet <- struct{}{}:
	default:
	}
}

// tell hands news to the handler, one after the other. What is there at the end is
// told, too.
func (p *peer) tell() {
	for {
		ended := false
		select {
		case <-p.ctx.Done():
			ended = true
		case <-p.newsSet:
		}
		for {
			p.mu.Lock()
			news := p.news
			p.news = nil
			p.mu.Unlock()
			if len(news) == 0 {
				break
			}
			// Without mu: they wait for connections to end, and the handler may ask back.
			for _, f := range news {
				f()
			}
		}
		if ended {
			return
		}
	}
}

// tick looks at the peer, and pings it.
func (p *peer) tick() {
	p.mu.Lock()
	now := p.l.now()
	p.judge(now)
	var dead []*conn
	// A connection by which nothing is heard, although it stands: it is closed, so that a
	// new one is tried.
	if p.live.silent(now) { // before it was ever up
		patience := 2 * p.l.cfg.Timings.Suspect
		dead = slices.DeleteFunc(p.connections(), func(c *conn) bool { return time.Since(c.began) < patience })
	}
	p.mu.Unlock()
	closeAll(dead, errDown)
	p.ping()
}

// ping sends a ping if there is a connection for it, behind what waits there, and
// not when the queue is full: so a voucher says, too, that what was sent on the lane
// before has arrived. Could pings overtake, raft's heartbeats might wait for so long
// that others elect a leader, and this one would still think that it may serve.
func (p *peer) ping() {
	up := p.l.upNodes(p.id)
	p.mu.Lock()
	now := p.l.now()
	body := ping{sent: now, hears: p.live.hears(now), up: up}
	p.mu.Unlock()
	if c := p.dialed[Control].Load(); c != nil {
		_ = c.out.push(makeFrame(typePing, 0, [][]byte{body.encode()}))
	}
}

// pinged takes a ping of a process of the peer, and makes the answer.
func (p *peer) pinged(m ping, incarnation uint64) pong {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Of a process that is over, or not yet the one that counts. It gets an answer, which
	// vouches for nothing.
	if incarnation != p.said.Incarnation || incarnation == p.left {
		return pong{sent: m.sent}
	}
	now := p.l.now()
	p.judge(now) // the silence before may have been too long
	answer := p.live.pinged(now, m)
	p.reported = m.up
	p.judge(now)
	return answer
}

// ponged takes the answer of a process of the peer to a ping.
func (p *peer) ponged(m pong, incarnation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if incarnation != p.said.Incarnation || incarnation == p.left {
		return
	}
	now := p.l.now()
	p.judge(now)
	p.live.answered(now, m)
	p.judge(now)
}

// leaves takes the goodbye of a process of the peer.
func (p *peer) leaves(incarnation uint64) {
	p.mu.Lock()
	stale := slices.DeleteFunc(p.connections(), func(c *conn) bool { return c.other.Incarnation != incarnation })
	if incarnation == p.said.Incarnation {
		p.left, p.reported = incarnation, nil
		p.live.leaves()
		p.judge(p.l.now())
	}
	p.mu.Unlock()
	closeAll(stale, errGoodbye)
}

func (p *peer) stats() PeerStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.l.now()
	s := PeerStats{Peer: p.is, Identity: p.said, Up: p.live.verdict(now), EchoAge: p.live.echoAge(now), RoundTrip: p.live.trip, LastError: p.lastErr}
	for lane := range s.Lanes {
		n := &p.counts[lane]
		s.Lanes[lane] = LaneStats{
			Connections: n.connections.Load(), SentFrames: n.sentFrames.Load(), SentBytes: n.sentBytes.Load(),
			Received: n.received.Load(), RecvBytes: n.recvBytes.Load(), Dropped: n.dropped.Load(),
		}
		if c := p.dialed[lane].Load(); c != nil {
			s.Lanes[lane].Connected, s.Lanes[lane].Queued, s.Lanes[lane].Pending = true, c.out.waiting(), c.calls.pending()
		}
	}
	return s
}

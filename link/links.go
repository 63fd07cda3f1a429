package link

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ottla/certs"
)

const (
	maxGuests    = 64          // connections of nodes that are no members
	maxGreetings = 256         // inbound connections whose hello has not come yet
	guestLinger  = time.Minute // how long one of maxGuests may take
)

// Links are a node's connections with the other nodes of its fleet. All methods may be
// called from any goroutine. Peers is read for each message sent, so it is replaced as a
// whole and takes no lock to read.
type Links struct {
	expelled atomic.Bool
	cfg      Config
	log      *slog.Logger
	tls      func() *tls.Config // nil: none
	listener net.Listener
	start    time.Time
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	peers atomic.Pointer[map[NodeID]*peer] // replaced, never changed; under mu

	mu      sync.Mutex
	self    Identity
	retired map[string]bool // uuids
	inbound map[net.Conn]bool
	guests  int
	refused map[string]time.Time // what was logged, by text
	closed  bool
}

// Open listens and returns at once; nobody is dialed before SetPeers. Errors: the
// address cannot be used, it is not loopback and neither TLS nor Insecure is set,
// a file of TLS cannot be used, a duration makes no sense.
func Open(cfg Config) (*Links, error) {
	cfg.Timings = cfg.Timings.withDefaults()
	if err := cfg.Timings.validate(); err != nil {
		return nil, err
	}
	if cfg.Self.UUID == "" || cfg.Self.Name == "" || cfg.Self.Fleet == "" != (cfg.Self.Node == 0) {
		return nil, errors.New("link: a node has a uuid and a name, and a fleet and a number or neither")
	}
	for lane, n := range cfg.Queues {
		if n == 0 {
			cfg.Queues[lane] = 64 << 20
			if Lane(lane) == Control {
				cfg.Queues[lane] = 16 << 20
			}
		}
	}
	for cfg.Self.Incarnation == 0 {
		cfg.Self.Incarnation = rand.Uint64()
	}
	l := &Links{
		cfg: cfg, log: cfg.Log, self: cfg.Self, start: time.Now(), listener: cfg.Listener,
		retired: map[string]bool{}, inbound: map[net.Conn]bool{}, refused: map[string]time.Time{},
	}
	l.peers.Store(&map[NodeID]*peer{})
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.cfg.Dial == nil {
		l.cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if err := l.listen(); err != nil {
		return nil, err
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.running.Go(l.acceptAll)
	l.running.Go(l.tickAll)
	return l, nil
}

func (l *Links) listen() (err error) {
	if l.cfg.TLS != nil {
		if l.tls, err = certs.Nodes(*l.cfg.TLS, l.log); err != nil {
			return err
		}
	}
	if l.listener != nil {
		return nil
	}
	if err := l.allowed(l.cfg.Listen); err != nil {
		return err
	}
	l.listener, err = net.Listen("tcp", l.cfg.Listen)
	return err
}

// allowed says whether an address may be used: without TLS only loopback, unless
// the settings say that the network is trusted.
func (l *Links) allowed(address string) error {
	if l.tls != nil || l.cfg.Insecure {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("link address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("link address %s is not loopback: nodes on several machines need certificates, or must be told that the network is trusted", address)
}

// Addr is the address that the node listens on.
func (l *Links) Addr() net.Addr { return l.listener.Addr() }

func (l *Links) now() time.Duration { return time.Since(l.start) }

func (l *Links) identity() Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.self
}

// SetIdentity changes what the node says of itself: it has joined a fleet, or its
// addresses have changed. Connections begin anew when fleet or number differ.
func (l *Links) SetIdentity(self Identity) {
	l.mu.Lock()
	if self.Incarnation == 0 {
		self.Incarnation = l.self.Incarnation
	}
	// Addresses and levels are told with the next connection, or by other ways; who it is
	// must be the same on all of them.
	anew := self.Fleet != l.self.Fleet || self.Node != l.self.Node || self.UUID != l.self.UUID
	l.self = self
	l.mu.Unlock()
	if !anew {
		return
	}
	for _, p := range l.snapshot() {
		p.disconnect(errors.New("the node's identity has changed"))
	}
}

// Change changes a part of what the node says of itself, as SetIdentity does.
func (l *Links) Change(f func(*Identity)) {
	self := l.identity()
	f(&self)
	l.SetIdentity(self)
}

// Expelled reports whether another node has said that this one has left the fleet for
// good.
func (l *Links) Expelled() bool { return l.expelled.Load() }

// SetPeers says who the other members of the fleet are, and which uuids have left
// it for good. It replaces what was said before: those that are no longer named
// are disconnected, with Down if they were up. Peers with this node's own number
// are left out.
func (l *Links) SetPeers(peers []Peer, retired []string) {
	// Without the lock, as ending one tells the callers of its calls.
	for _, p := range l.replacePeers(peers, retired) {
		p.end(errRemoved)
	}
}

// replacePeers returns those that are to end, which tells their callers so.
func (l *Links) replacePeers(peers []Peer, retired []string) (gone []*peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.retired = map[string]bool{}
	for _, uuid := range retired {
		l.retired[uuid] = true
	}
	old, now := *l.peers.Load(), map[NodeID]*peer{}
	for _, is := range peers {
		if is.ID == 0 || is.ID == l.self.Node || now[is.ID] != nil {
			continue
		}
		if p := old[is.ID]; p != nil && p.identity().UUID == is.UUID {
			p.moved(is)
			now[is.ID] = p
		} else { // new, or a number that was given out again
			now[is.ID] = l.newPeer(is)
		}
	}
	for id, p := range old {
		if now[id] != p {
			gone = append(gone, p)
		}
	}
	l.peers.Store(&now)
	return gone
}

var errRemoved = errors.New("the other node is no member of the fleet any more")

// moved notes what is new of a peer.
func (p *peer) moved(is Peer) {
	p.mu.Lock()
	changed := p.named != is.Address
	p.named = is.Address
	if !changed {
		is.Address = p.is.Address // where it has said itself that it is
	}
	p.is = is
	p.mu.Unlock()
	if changed {
		p.poke()
	}
}

// snapshot lists the peers by number.
func (l *Links) snapshot() []*peer {
	return slices.SortedFunc(maps.Values(*l.peers.Load()), func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
}

func (l *Links) peer(id NodeID) *peer { return (*l.peers.Load())[id] }

// connection is the one by which this node sends to a peer; nil when there is none.
func (l *Links) connection(to NodeID, lane Lane) *conn {
	if p := l.peer(to); p != nil {
		return p.dialed[lane].Load()
	}
	return nil
}

// Send queues a message, the parts of which nobody changes any more. It reports
// false when the message is dropped: its lane is not connected, its queue full, or
// it exceeds MaxBody. That it was queued does not mean that it arrives.
func (l *Links) Send(to NodeID, lane Lane, kind uint16, parts ...[]byte) bool {
	p := l.peer(to)
	if p == nil {
		return false
	}
	if c := p.dialed[lane].Load(); c != nil && c.send(makeFrame(typeMessage, kind, parts)) == nil {
		return true
	}
	p.counts[lane].dropped.Add(1)
	return false
}

// Call asks another node. Done is called exactly once, perhaps before Call returns,
// perhaps on a goroutine that reads a connection, so it must not wait. The body is
// done's; the parts are nobody's to change. Errors are *protocol.Error: that of
// the other node's handler; node_unreachable or overloaded with outcome none when
// nothing was handed to a socket; outcome_unknown when it was, and the connection
// was lost or the deadline has passed. A node that is not connected is asked by way
// of one that says it is up.
func (l *Links) Call(to NodeID, lane Lane, kind uint16, deadline time.Time, done func([]byte, error), parts ...[]byte) {
	if c := l.connection(to, lane); c != nil {
		c.call(makeFrame(typeCall, kind, parts), deadline, done)
		return
	}
	p := l.peer(to)
	if p == nil {
		done(nil, unreachable("node %d is no member of the fleet as far as this node knows", to))
		return
	}
	// Only what is asked goes by way of others: an answer comes back or does not. A message
	// would be lost without anybody noticing where.
	if c := l.detour(to, lane); c != nil {
		c.call(relayed(typeRelay, to, kind, parts), deadline, done)
		return
	}
	p.counts[lane].dropped.Add(1)
	done(nil, unreachable("node %d is not connected", to))
}

// CallAddress asks whoever listens at an address, on a connection of its own: for
// nodes that have no fleet yet. It takes a minute at most. Done is called exactly once, on another goroutine,
// with what the other node says of itself, as far as it has come to that. Errors
// are those of Call, and *Refusal with nothing done.
func (l *Links) CallAddress(address string, kind uint16, deadline time.Time, done func(peer Identity, body []byte, err error), parts ...[]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		go done(Identity{}, nil, unreachable("the node ends"))
		return
	}
	l.running.Go(func() {
		ctx, cancel := context.WithDeadline(l.ctx, deadline)
		defer cancel()
		c, err := l.dial(ctx, address, Control, nil)
		if err != nil {
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				err = unreachable("%s: %v", address, err)
			}
			done(Identity{}, nil, err)
			return
		}
		stop := context.AfterFunc(l.ctx, func() { c.close(errEnding) })
		defer stop()
		c.call(makeFrame(typeCall, kind, parts), deadline, func(body []byte, err error) {
			done(c.other, body, err)
			c.close(net.ErrClosed)
		})
		c.serve()
	})
}

var errEnding = errors.New("the node ends")

// Alive says whether this node and the peer hear each other, as the handler is
// told by Up and Down. It is an opinion.
func (l *Links) Alive(id NodeID) bool {
	p := l.peer(id)
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live.verdict(l.now())
}

// Vouched reports whether the peer's word holds that it does not give this node up: it
// has vouched for a ping that was sent within Timings.Fence before. Since is the Now since
// when it has not given this node up either. That is the monotonic clock's, so that a
// process that was stopped sees for how long.
func (l *Links) Vouched(id NodeID) (since time.Duration, holds bool) {
	p := l.peer(id)
	if p == nil {
		return 0, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live.vouched, p.live.echoAge(l.now()) <= l.cfg.Timings.Fence
}

// Now is the time since these links were made, by the monotonic clock.
func (l *Links) Now() time.Duration { return l.now() }

// upNodes are the peers that are up, but for one.
func (l *Links) upNodes(but NodeID) []NodeID {
	var up []NodeID
	for _, p := range l.snapshot() {
		if p.id != but && l.Alive(p.id) {
			up = append(up, p.id)
		}
	}
	return up
}

// Stats describes all peers, by number.
func (l *Links) Stats() []PeerStats {
	var all []PeerStats
	for _, p := range l.snapshot() {
		all = append(all, p.stats())
	}
	return all
}

// tickAll pings everybody.
func (l *Links) tickAll() {
	ticker := time.NewTicker(l.cfg.Timings.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-ticker.C:
			for _, p := range l.snapshot() {
				p.tick()
			}
		}
	}
}

// Close says goodbye, so that the peers call this node down at once: it must have
// stopped to serve reads before. All calls end, the handler is told Down of those
// that were up, and what runs here has ended when Close returns.
func (l *Links) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.mu.Unlock()
	peers := l.snapshot()
	// First, while the connections stand: peers that hear it need not wait for silence, and
	// elect other leaders at once.
	l.goodbye(peers)
	l.stop()
	_ = l.listener.Close()
	for _, p := range peers {
		p.end(errEnding)
	}
	l.mu.Lock()
	for nc := range l.inbound {
		_ = nc.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
}

// goodbye tells the peers that this node ends, and waits a moment for them to hang up.
func (l *Links) goodbye(peers []*peer) {
	patience := time.After(min(2*l.cfg.Timings.Ping, time.Second))
	var conns []*conn
	for _, p := range peers {
		if c := l.connection(p.id, Control); c != nil {
			c.out.hurry(makeFrame(typeBye, 0, nil))
			conns = append(conns, c)
		}
	}
	for _, c := range conns {
		select {
		case <-c.done:
		case <-patience:
			return
		}
	}
}

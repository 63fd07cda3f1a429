package link

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// hello is the first frame each way, as JSON.
type hello struct {
	Identity
	Lane   Lane   `json:"lane"`
	Guest  bool   `json:"guest,omitempty"` // for calls of a node that may be no member
	WantID NodeID `json:"want_id,omitempty"`
	Want   string `json:"want,omitempty"` // the UUID that the dialer expects; empty: any
}

func writeHello(w wire, h hello) error {
	return writeJSON(w, typeHello, h)
}

func writeJSON(w wire, typ frameType, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f := makeFrame(typ, 0, [][]byte{b})
	if f.tooLong() {
		return fmt.Errorf("link: an identity of %d bytes; the limit is %d", len(b), maxHello)
	}
	return w.writeAll(net.Buffers{f.bytes()})
}

// readHello reads the other side's hello, or its refusal as an error.
func readHello(r io.Reader) (hello, error) {
	head, body, err := readFrame(r, maxHello, true)
	if err != nil {
		return hello{}, err
	}
	switch head.typ {
	case typeHello:
		return parseHello(body)
	case typeRefusal:
		var refusal Refusal
		if err := strictJSON(body, &refusal); err != nil {
			return hello{}, refuse(ReasonProtocol, "a refusal that cannot be read: %v", err)
		}
		return hello{}, &refusal
	}
	return hello{}, refuse(ReasonProtocol, "a frame of type %d instead of a hello", head.typ)
}

func parseHello(body []byte) (hello, error) {
	var h hello
	if err := strictJSON(body, &h); err != nil {
		return hello{}, refuse(ReasonProtocol, "a hello that cannot be read: %v", err)
	}
	if h.Lane >= lanes || h.UUID == "" || h.Name == "" || h.Incarnation == 0 || h.Fleet == "" != (h.Node == 0) {
		return hello{}, refuse(ReasonProtocol, "a hello that is not complete")
	}
	return h, nil
}

// strictJSON decodes one value; later versions may add fields.
func strictJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("more than one value")
	}
	return nil
}

// meet compares the other side's identity with this node's. To whoever reads the refusal
// "this node" is the one that wrote it. Both sides check, each by itself: either may be the
// older program.
func meet(self, other Identity, guest bool) error {
	switch {
	case self.UUID == other.UUID && self.Incarnation == other.Incarnation:
		return refuse(ReasonSelf, "the address is that of the node itself")
	case self.UUID == other.UUID:
		return refuse(ReasonUUID, "node %q has the same data directory (uuid %s) as this node, %q: one of them runs on a copy", other.Name, other.UUID, self.Name)
	case self.Name == other.Name:
		return refuse(ReasonName, "this node is named %q, too, and has another data directory: names must differ", self.Name)
	case self.MinFormat > other.MaxFormat || other.MinFormat > self.MaxFormat:
		return refuse(ReasonFormat, "node %q (version %s) can use formats %d to %d, this node, %q (version %s), formats %d to %d: no format is common to both",
			other.Name, other.Version, other.MinFormat, other.MaxFormat, self.Name, self.Version, self.MinFormat, self.MaxFormat)
	case tooNew(self, other):
		return refuse(ReasonFormat, "node %q (version %s) works from level %d on, and the fleet is at level %d: start a version there that knows that one, raise the level, and then start this version",
			other.Name, other.Version, other.Oldest, fleetLevel(self, other))
	case tooNew(other, self):
		return refuse(ReasonFormat, "node %q (version %s) works from level %d on, and the fleet is at level %d: start a version there that knows that one, raise the level, and then start this version",
			self.Name, self.Version, self.Oldest, fleetLevel(self, other))
	case self.Fleet != other.Fleet && (!guest || self.Fleet != "" && other.Fleet != ""):
		return refuse(ReasonFleet, "node %q belongs to %s, this node, %q, to %s", other.Name, fleetName(other.Fleet), self.Name, fleetName(self.Fleet))
	}
	return nil
}

// fleetLevel is the level of the fleet of two nodes: one of them may not know yet that it
// was raised.
func fleetLevel(a, b Identity) int { return max(a.Level, b.Level) }

// tooNew reports whether a node's program does not know the level of the fleet any more.
func tooNew(member, other Identity) bool {
	l := fleetLevel(member, other)
	return l > 0 && other.Oldest > l
}

func fleetName(fleet string) string {
	if fleet == "" {
		return "no fleet"
	}
	return "fleet " + fleet
}

// admit judges a hello that came in, and finds its peer; nil for a guest.
func (l *Links) admit(h hello, state *tls.ConnectionState) (*peer, error) {
	l.mu.Lock()
	self := l.self
	// The members, and whether another one has the name, as of one moment.
	peers := *l.peers.Load()
	retired := l.retired[h.UUID]
	var rival Peer
	for _, other := range peers {
		if is := other.identity(); is.UUID != h.UUID && is.Name == h.Name {
			rival = is
		}
	}
	l.mu.Unlock()
	// Before a refusal may name a member: to a stranger it does not tell who they are.
	if err := meet(self, h.Identity, h.Guest); err != nil {
		return nil, err
	}
	if err := certified(h.Identity, state); err != nil {
		return nil, err
	}
	switch {
	case retired:
		return nil, refuse(ReasonRetired, "node %q (uuid %s) has left the fleet for good: it can only come back with an empty data directory, as a new node", h.Name, h.UUID)
	case h.WantID != 0 && h.WantID != self.Node, h.Want != "" && h.Want != self.UUID:
		return nil, refuse(ReasonUUID, "the address is that of node %d %q (uuid %s), not of node %d (uuid %s)", self.Node, self.Name, self.UUID, h.WantID, h.Want)
	}
	if !h.Guest && peers[h.Node] != nil {
		return peers[h.Node], peers[h.Node].matches(h.Identity)
	}
	switch {
	case rival.Name != "":
		return nil, refuse(ReasonName, "node %d of the fleet is named %q, too, and has another data directory (uuid %s): names must differ, also from that of a node that is lost", rival.ID, rival.Name, rival.UUID)
	case !h.Guest:
		return nil, refuse(ReasonUnknown, "node %q, number %d, is no member of the fleet as far as node %q knows", h.Name, h.Node, self.Name)
	}
	return nil, nil
}

func (p *peer) identity() Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is
}

// matches says whether an identity is that of the peer, and of the process of it
// that may be connected now.
func (p *peer) matches(id Identity) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.is.UUID != id.UUID:
		return refuse(ReasonUUID, "node %d of the fleet has uuid %s, and node %q, which says it is that, has %s: its data directory is another one", p.id, p.is.UUID, id.Name, id.UUID)
	case p.is.Name != "" && p.is.Name != id.Name:
		return refuse(ReasonName, "node %d of the fleet is named %q, not %q", p.id, p.is.Name, id.Name)
	}
	return p.succeeds(id)
}

// succeeds says whether the process with that identity is the one that the peer is,
// or can take its place. Locked.
func (p *peer) succeeds(id Identity) error {
	switch {
	case p.left == id.Incarnation:
		return refuse(ReasonIncarnation, "the process of node %d %q has said that it ends", p.id, id.Name)
	// Two processes on copies of one directory would both count as the node, and vote twice.
	// A process that was started again is let in when the former one has been silent for
	// Suspect, or has said goodbye.
	case p.said.Incarnation != 0 && p.said.Incarnation != id.Incarnation && !p.live.silent(p.l.now()):
		return refuse(ReasonIncarnation, "another process with the data directory of node %d %q was heard a moment ago", p.id, id.Name)
	}
	return nil
}

// take makes the process at the other end of a connection the one that the peer is, if it
// can be, and returns the connections with earlier ones. Locked. Those are closed by the
// caller, without the lock: their calls are told, and may take it.
func (p *peer) take(other Identity) (stale []*conn, err error) {
	p.judge(p.l.now()) // of those that were before
	if p.ended {
		return nil, errRemoved
	}
	if err := p.succeeds(other); err != nil {
		return nil, err
	}
	p.said = other
	return slices.DeleteFunc(p.connections(), func(c *conn) bool { return c.other.Incarnation == other.Incarnation }), nil
}

// certified says whether the certificate of a connection is for the node's name.
func certified(id Identity, state *tls.ConnectionState) error {
	if state == nil {
		return nil
	}
	if err := state.PeerCertificates[0].VerifyHostname(id.Name); err != nil {
		return refuse(ReasonName, "the certificate of node %q is not for that name: %v", id.Name, err)
	}
	return nil
}

// alerted explains an error of the first read after a TLS handshake: only then does
// the side that has dialed hear what the other one thinks of its certificate.
func alerted(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return fmt.Errorf("the other node refuses the certificate of this one: %w", err)
	}
	return fmt.Errorf("hello: %w", err)
}

// accept takes an inbound connection from its first byte on.
func (l *Links) accept(nc net.Conn) {
	// All of the handshakes within one deadline, or connections that say nothing would pile
	// up.
	_ = nc.SetDeadline(time.Now().Add(l.cfg.Timings.Dial))
	c, err := l.greet(nc)
	if err != nil {
		_ = nc.Close()
		if !isEnd(err) && l.ctx.Err() == nil {
			l.noteRefusal(nc.RemoteAddr(), err)
		}
		return
	}
	defer l.release(c)
	if c.peer != nil && c.peer.accepts(c) != nil {
		// Between the hello and now another process may have taken the place.
		_ = nc.Close() // it tries again, and is told then
		return
	}
	c.serve()
}

// greet does the handshakes of an inbound connection. The other side speaks first, so that
// nothing is told to whoever merely connects.
func (l *Links) greet(nc net.Conn) (*conn, error) {
	w, state, err := l.secure(l.ctx, nc, true)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	in := bufio.NewReaderSize(w, readBuffer)
	h, err := readHello(in)
	if err != nil {
		return nil, err
	}
	p, err := l.admit(h, state)
	if err == nil && p == nil && !l.guestRoom() {
		err = refuse(ReasonBusy, "too many nodes that are no members ask at the same time")
	}
	if err != nil {
		var refusal *Refusal
		if errors.As(err, &refusal) {
			_ = writeJSON(w, typeRefusal, refusal)
		}
		return nil, err
	}
	if p != nil {
		p.calls(h.AdvertiseLink)
	}
	if err := writeHello(w, hello{Identity: l.identity(), Lane: h.Lane, Guest: h.Guest}); err != nil {
		if p == nil {
			l.guestGone()
		}
		return nil, err
	}
	// From here on a silent connection is liveness' affair, and a write that hangs the
	// writer's.
	_ = nc.SetDeadline(time.Time{})
	if p == nil {
		_ = nc.SetDeadline(time.Now().Add(guestLinger))
	}
	return l.newConn(nc, w, in, h.Identity, h.Lane, p, false), nil
}

// accepts makes a connection the one by which the peer sends on its lane.
func (p *peer) accepts(c *conn) error {
	p.mu.Lock()
	stale, err := p.take(c.other)
	if err != nil {
		p.mu.Unlock()
		return err
	}
	if old := p.accepted[c.lane]; old != nil {
		// A lane has one connection each way. The newer one counts, because the other side
		// has given the older up.
		stale = append(stale, old)
	}
	p.accepted[c.lane] = c
	p.mu.Unlock()
	closeAll(stale, errReplaced)
	p.poke()
	return nil
}

var (
	errReplaced = errors.New("the other node has connected again")
	errDown     = errors.New("the other node has not been heard for too long")
)

// dial connects with an address. P is nil when it is not known who is there.
func (l *Links) dial(ctx context.Context, address string, lane Lane, p *peer) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timings.Dial)
	defer cancel()
	if err := l.allowed(address); err != nil {
		return nil, err
	}
	nc, err := l.cfg.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	// The handshakes know no context; a deadline in the past ends whatever they wait for.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	c, err := l.introduce(ctx, nc, lane, p)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

// introduce does the handshakes of an outbound connection.
func (l *Links) introduce(ctx context.Context, nc net.Conn, lane Lane, p *peer) (*conn, error) {
	w, state, err := l.secure(ctx, nc, false)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	self := l.identity()
	say := hello{Identity: self, Lane: lane, Guest: p == nil}
	if p != nil {
		is := p.identity()
		say.WantID, say.Want = is.ID, is.UUID
	}
	if err := writeHello(w, say); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(w, readBuffer)
	h, err := readHello(in)
	if err != nil {
		return nil, alerted(err)
	}
	if err := meet(self, h.Identity, p == nil); err != nil {
		return nil, err
	}
	if err := certified(h.Identity, state); err != nil {
		return nil, err
	}
	if p != nil {
		if h.Node != p.id {
			return nil, refuse(ReasonUUID, "node %d answers at the address of node %d", h.Node, p.id)
		}
		if err := p.matches(h.Identity); err != nil {
			return nil, err
		}
	}
	return l.newConn(nc, w, in, h.Identity, lane, p, true), nil
}

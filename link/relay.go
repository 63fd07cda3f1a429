package link

import (
	"encoding/binary"
	"slices"
	"time"
)

// relayed is the body of a call that goes by way of another node: the node at its
// other end first.
func relayed(typ frameType, id NodeID, kind uint16, parts [][]byte) outFrame {
	f := outFrame{header: header{typ: typ, kind: kind}, parts: parts}
	f.prefix = binary.LittleEndian.AppendUint64(nil, uint64(id))
	f.length = f.bodySize()
	return f
}

// relay hands a call on to the node that it is for, if that one is connected: there
// is no second hop. The answer goes back the same way.
func (c *conn) relay(to NodeID, h header, body []byte) {
	reply := c.hold(h, body)
	if reply == nil {
		return
	}
	next := c.l.connection(to, c.lane)
	if next == nil {
		reply(nil, unreachable("neither this node nor node %d is connected with node %d", c.peer.id, to))
		return
	}
	f := relayed(typeRelayed, c.peer.id, h.kind, [][]byte{body})
	// The outcome passes through as it is: none if this node has not handed it on, or if the
	// far one says none.
	next.call(f, time.Now().Add(time.Duration(h.left)*time.Millisecond), reply)
}

// detour returns a connection to a node that says that the other one is up.
func (l *Links) detour(to NodeID, lane Lane) *conn {
	now := l.now()
	for _, p := range l.snapshot() {
		p.mu.Lock()
		c := p.dialed[lane].Load()
		ok := p.id != to && c != nil && p.live.verdict(now) && slices.Contains(p.reported, to)
		p.mu.Unlock()
		if ok {
			return c
		}
	}
	return nil
}

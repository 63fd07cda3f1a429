package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"ottla/certs"
)

// NodeID is a node's number in its fleet; 0 stands for a node that has none yet.
type NodeID uint64

// Lane is one of the connections of a pair of nodes. What is sent on one lane
// arrives in the order in which it was sent; lanes do not wait for each other.
type Lane uint8

// The lanes.
const (
	Control Lane = iota // small and urgent: votes, heartbeats, answers of appends
	Bulk                // entries, produced records, fetched ones
	CatchUp             // what may take its time: copies of old segments
	lanes
)

// Lanes is how many lanes there are.
const Lanes = int(lanes)

// String implements fmt.Stringer.
func (l Lane) String() string {
	switch l {
	case Control:
		return "control"
	case Bulk:
		return "bulk"
	case CatchUp:
		return "catch_up"
	}
	return fmt.Sprintf("lane %d", uint8(l))
}

// MaxBody is the size of the largest body of a message, a call or an answer, in
// bytes.
const MaxBody = 32 << 20

// Identity is what a node says of itself when a connection begins.
type Identity struct {
	Fleet         string `json:"fleet,omitempty"` // empty: it belongs to none yet
	Node          NodeID `json:"node,omitempty"`  // 0: it belongs to no fleet yet
	UUID          string `json:"uuid"`            // of its data directory
	Name          string `json:"name"`            // unique in its fleet; with TLS a DNS name of its certificate
	Version       string `json:"version,omitempty"`
	MinFormat     int    `json:"min_format"` // the formats it can read and write
	MaxFormat     int    `json:"max_format"`
	Oldest        int    `json:"oldest,omitempty"` // the least format at which the program can work; MinFormat is more where Level is
	Level         int    `json:"level,omitempty"`  // the format that its fleet writes, as far as it knows; 0: it knows of none
	Holds         bool   `json:"holds,omitempty"`  // the format is not to be raised by itself
	AdvertiseLink string `json:"link,omitempty"`   // HOST:PORT where other nodes reach it
	AdvertiseHTTP string `json:"http,omitempty"`   // HOST:PORT where clients reach it
	Rack          string `json:"rack,omitempty"`
	Incarnation   uint64 `json:"incarnation"` // of the process; Open chooses one when it is 0
}

// Peer is another node of the fleet.
type Peer struct {
	ID      NodeID
	UUID    string
	Name    string // empty: any
	Address string // HOST:PORT; it may change at any time
}

// Handler gets what arrives. Its methods are called on the goroutines that read
// connections, so they must not wait for anything.
type Handler interface {
	// Message takes a message. The body is the handler's from now on. Messages of
	// one lane come in the order in which they were sent; some may be missing where
	// a connection was lost in between, which Connected tells the sender. The node
	// may be down according to Alive.
	Message(from NodeID, lane Lane, kind uint16, body []byte)

	// Call takes a call that must be answered exactly once, from any goroutine, at
	// any time; after what is left of the caller's time nobody listens any more. The
	// body is the handler's, that of the answer the link's, which nobody changes
	// afterwards. An error that is, or wraps, a *protocol.Error arrives as it is;
	// any other one as internal, outcome unknown. From is 0 for a node that is no
	// member of the fleet (CallAddress); it may be one that is not connected with
	// this node, when a third one has relayed the call.
	Call(from NodeID, lane Lane, kind uint16, body []byte, left time.Duration, reply func(body []byte, err error))

	// Up says that this node and the peer hear each other on all lanes; Down, that
	// they do not any more: before Down, the connections of all lanes are closed, and
	// so all calls to the peer have ended. They take turns, beginning with Up. Calls of Up, Down
	// and Connected for one peer come one after the other and may take their time.
	Up(peer Identity)
	Down(peer NodeID)

	// Connected says that there is a new connection for what this node sends to the
	// peer on the lane: what was sent on an earlier one may be lost.
	Connected(peer NodeID, lane Lane)
}

// Timings are the durations that a node works with. Zero stands for the default.
type Timings struct {
	Ping       time.Duration // between two pings: 100 ms
	Fence      time.Duration // how long a peer's word is good for: 300 ms
	Suspect    time.Duration // silence after which a peer is down: 1 s, at least twice Fence
	Dial       time.Duration // for a connection with its handshakes: 1 s
	WriteStall time.Duration // without a byte taken a connection is closed: 5 s
}

func (t Timings) withDefaults() Timings {
	for _, f := range []struct {
		is *time.Duration
		by time.Duration
	}{
		{&t.Ping, 100 * time.Millisecond},
		{&t.Fence, 300 * time.Millisecond},
		{&t.Suspect, time.Second},
		{&t.Dial, time.Second},
		{&t.WriteStall, 5 * time.Second},
	} {
		if *f.is == 0 {
			*f.is = f.by
		}
	}
	return t
}

// validate holds the durations against each other: a word that is good for Fence needs two
// pings within it, or a single late one would end it, and who has vouched may not give up
// sooner than that (liveness.grace is half of Suspect).
func (t Timings) validate() error {
	switch {
	case min(t.Ping, t.Fence, t.Suspect, t.Dial, t.WriteStall) <= 0:
		return errors.New("link: durations must be positive")
	case t.Fence < 2*t.Ping:
		return fmt.Errorf("link: fence (%s) must be at least twice ping (%s)", t.Fence, t.Ping)
	case t.Suspect < 2*t.Fence:
		return fmt.Errorf("link: suspect (%s) must be at least twice fence (%s)", t.Suspect, t.Fence)
	}
	return nil
}

// Config is what Open needs.
type Config struct {
	Self     Identity
	Listen   string           // HOST:PORT
	TLS      *certs.NodeFiles // nil: none. The certificate is for the node's name
	Insecure bool             // without TLS, allow addresses that are not loopback
	Timings  Timings          // zero: the defaults
	Queues   [Lanes]int       // bytes that may wait for a connection; 0: 16 MiB for Control, 64 MiB for the others
	Handler  Handler
	Log      *slog.Logger // nil: none

	// For tests and for simulated networks.
	Listener net.Listener                                                // instead of Listen
	Dial     func(ctx context.Context, address string) (net.Conn, error) // instead of TCP
}

// Refusal is why one node does not talk with another one. It is an error of
// settings, or of time: whoever dials tries again.
type Refusal struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"` // a sentence for people
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Is makes errors.Is compare reasons.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Reason == r.Reason
}

// Reason is the kind of a Refusal.
type Reason string

// The reasons of refusals.
const (
	ReasonSelf        Reason = "self"        // the address is the node's own
	ReasonFleet       Reason = "fleet"       // it belongs to another fleet, or one of the two to none
	ReasonFormat      Reason = "format"      // no format that both can read
	ReasonUUID        Reason = "uuid"        // two nodes with one data directory, or one that was wiped
	ReasonName        Reason = "name"        // two nodes with one name, or a certificate for another name
	ReasonUnknown     Reason = "unknown"     // no member of the fleet, as far as the other one knows
	ReasonRetired     Reason = "retired"     // a node that has left the fleet for good
	ReasonIncarnation Reason = "incarnation" // an earlier process of the node was heard a moment ago
	ReasonBusy        Reason = "busy"        // too many connections that are no member's
	ReasonProtocol    Reason = "protocol"    // what was said makes no sense
)

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{reason, fmt.Sprintf(format, args...)}
}

// LaneStats counts one lane of one peer, since SetPeers has named it.
type LaneStats struct {
	Connected   bool // this node can send
	Connections uint64
	Queued      int // bytes that wait to be sent
	SentFrames  uint64
	SentBytes   uint64
	Received    uint64 // frames on the connections that the peer has dialed, and answers
	RecvBytes   uint64
	Dropped     uint64 // messages and calls refused: queue full, or no connection
	Pending     int    // calls without an answer
}

// PeerStats describes one peer.
type PeerStats struct {
	Peer      Peer
	Identity  Identity // as it has said itself; zero before it was connected
	Up        bool
	EchoAge   time.Duration // how long ago the newest ping was sent for which the peer has vouched; the largest duration: never
	RoundTrip time.Duration // of the last ping
	Lanes     [Lanes]LaneStats
	LastError string // why the last connection failed or ended; empty when all is well
}

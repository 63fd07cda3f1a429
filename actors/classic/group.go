package classic

import (
	"cmp"
	"maps"
	"slices"

	"ottla/protocol"
)

// The error codes of Kafka that a group answers with.
const (
	None                      int16 = 0
	IllegalGeneration         int16 = 22
	InconsistentGroupProtocol int16 = 23
	UnknownMemberID           int16 = 25
	InvalidSessionTimeout     int16 = 26
	RebalanceInProgress       int16 = 27
	GroupMaxSizeReached       int16 = 81
	FencedInstanceID          int16 = 82
	MemberIDRequired          int16 = 79
)

// Bounds of a group.
const (
	maxMembers       = 10_000
	maxPending       = 1_000     // members that have been given an id and have not joined with it yet
	initialDelay     = 250       // how long the first join of an empty group waits for others, in milliseconds
	minSession       = 500       // shortest session timeout, in milliseconds
	maxSession       = 1_800_000 // longest, as Kafka's default
	noGeneration     = -1        // of commits by who is no member
	maxMetadataBytes = 1 << 20   // of what a member says of itself, all protocols together
	maxGroupBytes    = 64 << 20  // of what all members say of themselves
	maxProtocols     = 64        // of a member
)

// The requests and answers are those of package protocol.
type (
	// JoinRequest asks to be a member.
	JoinRequest = protocol.ClassicJoin
	// JoinReply answers it.
	JoinReply = protocol.ClassicJoined
	// JoinedMember is what a leader has to know of a member.
	JoinedMember = protocol.ClassicJoinedMember
	// SyncRequest asks for an assignment.
	SyncRequest = protocol.ClassicSync
	// SyncReply answers it.
	SyncReply = protocol.ClassicSynced
	// Description is a group at a glance.
	Description = protocol.ClassicGroupInfo
	// MemberDescription is a member at a glance.
	MemberDescription = protocol.ClassicMemberInfo
	// Protocol is a way to assign partitions.
	Protocol = protocol.ClassicProtocol
)

// State is what a group is doing.
type State int

// The states, as Kafka names them.
const (
	Empty State = iota
	PreparingRebalance
	CompletingRebalance
	Stable
)

// String is the name of the state.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[s]
}

// member is one member of a group. Times are in milliseconds. Join and sync are called
// exactly once each time they are set: whoever carries the answer waits for it.
type member struct {
	id         string
	instance   string // of a static member, else ""
	clientID   string
	host       string
	sessionMs  int64
	rebalance  int64 // how long it may take to join again
	protocols  []Protocol
	assignment []byte
	expires    int64           // when its session ends, unless it gives a sign of life
	join       func(JoinReply) // waits for the others to join; nil: it does not
	sync       func(SyncReply) // waits for the leader's assignment; nil: it does not
	order      int             // of its first join
	bytes      int             // of what it says of itself
}

// Group is a classic group. It is not for several goroutines.
//
// Who waits is a member with a function in it. So whatever removes a member, or ends the
// phase, must call that function before it forgets it.
type Group struct {
	state        State
	generation   int32
	protocolType string
	protocol     string // chosen by all
	leader       string // the id of the member that assigns
	members      map[string]*member
	instances    map[string]string // ids of static members, by instance
	pending      map[string]int64  // ids that were given and not used yet, and when they are forgotten
	deadline     int64             // when a rebalance goes on without who is missing
	delayed      bool              // an empty group waits for more members first
	joined       int               // numbers members
	bytes        int               // of what all members say of themselves
}

// New returns an empty group.
func New() *Group {
	return &Group{members: map[string]*member{}, instances: map[string]string{}, pending: map[string]int64{}}
}

// State is what the group is doing.
func (g *Group) State() State { return g.state }

// Live reports whether the group has members, or some that are about to join. The latter
// count, so that nobody deletes the group, or makes it one of the other protocol, between
// the two requests of a join.
func (g *Group) Live() bool { return len(g.members) > 0 || len(g.pending) > 0 }

// Describe is the group at a glance, members by their first join.
func (g *Group) Describe() Description {
	d := Description{State: g.state.String(), ProtocolType: g.protocolType, Generation: g.generation, Leader: g.leader}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.sorted() {
		md := MemberDescription{ID: m.id, Instance: m.instance, ClientID: m.clientID, Host: m.host, SessionMs: m.sessionMs, Expires: m.expires}
		if g.state == Stable {
			md.Metadata, md.Assignment = m.metadata(g.protocol), m.assignment
		}
		d.Members = append(d.Members, md)
	}
	return d
}

func (g *Group) sorted() []*member {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *member) int { return cmp.Compare(a.order, b.order) })
}

func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

func (m *member) alive(now int64) { m.expires = now + m.sessionMs }

// find returns a member, or why it is none. A static member whose instance has been
// taken over by another process is fenced.
func (g *Group) find(id, instance string) (*member, int16) {
	if instance != "" {
		switch now, known := g.instances[instance]; {
		case known && now != id:
			return nil, FencedInstanceID
		case !known:
			return nil, UnknownMemberID
		}
	}
	m := g.members[id]
	if m == nil {
		return nil, UnknownMemberID
	}
	return m, None
}

// MayCommit says whether who has that id may commit offsets in that generation. Who is
// no member may, with generation -1, while there are none.
func (g *Group) MayCommit(now int64, id, instance string, generation int32) int16 {
	if generation == noGeneration && id == "" {
		if g.Live() {
			return UnknownMemberID
		}
		return None
	}
	m, code := g.find(id, instance)
	switch {
	case code != None:
		return code
	case generation != g.generation:
		return IllegalGeneration
	// The member does not have its partitions yet. While others join again
	// (PreparingRebalance) it still has the old ones, and may commit what it has done with
	// them.
	case g.state == CompletingRebalance:
		return RebalanceInProgress
	}
	m.alive(now)
	return None
}

// Heartbeat is a sign of life. It tells a member that it has to join again.
func (g *Group) Heartbeat(now int64, id, instance string, generation int32) int16 {
	m, code := g.find(id, instance)
	switch {
	case code != None:
		return code
	case generation != g.generation:
		return IllegalGeneration
	}
	m.alive(now)
	// After the sign of life: a member that is slow to join is not gone.
	if g.state == PreparingRebalance {
		return RebalanceInProgress
	}
	return None
}

// Leave removes a member, by its id, its instance, or both.
func (g *Group) Leave(now int64, id, instance string) int16 {
	if id == "" && instance != "" {
		id = g.instances[instance]
	}
	// It was never waited for, so nobody has to join again.
	if _, waits := g.pending[id]; waits && instance == "" {
		delete(g.pending, id)
		g.goOn(now)
		return None
	}
	m, code := g.find(id, instance)
	if code != None {
		return code
	}
	g.remove(m)
	g.membersChanged(now)
	return None
}

// remove forgets a member, whatever it waits for.
func (g *Group) remove(m *member) {
	delete(g.members, m.id)
	g.bytes -= m.bytes
	if m.instance != "" && g.instances[m.instance] == m.id {
		delete(g.instances, m.instance)
	}
	m.refuse(UnknownMemberID)
	if g.leader == m.id {
		g.leader = ""
	}
}

// refuse answers what a member waits for with an error.
func (m *member) refuse(code int16) {
	if m.join != nil {
		m.join(JoinReply{Code: code, Generation: noGeneration, Member: m.id})
		m.join = nil
	}
	if m.sync != nil {
		m.sync(SyncReply{Code: code})
		m.sync = nil
	}
}

// End answers everybody who waits: the group's coordinator is another one now. Nothing is
// kept: members come back to the new one as unknown.
func (g *Group) End(code int16) {
	for _, m := range g.members {
		m.refuse(code)
	}
}

// membersChanged has the others join again after one has left.
func (g *Group) membersChanged(now int64) {
	switch g.state {
	// Partitions of the one that left have nobody until all have joined again.
	case Stable, CompletingRebalance:
		g.prepare(now)
	case PreparingRebalance:
		g.goOn(now)
	}
}

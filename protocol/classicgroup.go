package protocol

// What members of a group ask that speaks Kafka's classic protocol, and the answers. Codes
// are Kafka's error codes. Times are in milliseconds.

// ClassicProtocol is a way to assign partitions that a member knows, and what it says of
// itself for that: opaque to the group.
type ClassicProtocol struct {
	Name     string
	Metadata []byte
}

// ClassicJoin asks to be a member.
type ClassicJoin struct {
	Member       string // "": it has no id yet
	Instance     string // of a static member
	ClientID     string
	Host         string
	SessionMs    int64
	RebalanceMs  int64
	ProtocolType string
	Protocols    []ClassicProtocol // the preferred one first
	NeedsID      bool              // a member without id is given one, with which it has to join again
	NewID        string            // the id of a member without one
	MayJoinAgain bool              // a static member that comes back may keep what it had
}

// ClassicJoined answers a ClassicJoin. Only the leader is told of the members.
type ClassicJoined struct {
	Code         int16
	Generation   int32
	ProtocolType string
	Protocol     string
	Leader       string
	Member       string
	Skip         bool // the leader need not assign: the assignment stays
	Members      []ClassicJoinedMember
}

// ClassicJoinedMember is what a leader has to know of a member.
type ClassicJoinedMember struct {
	ID, Instance string
	Metadata     []byte
}

// ClassicSync asks for a member's assignment; the leader's brings those of all.
type ClassicSync struct {
	Member, Instance string
	Generation       int32
	ProtocolType     string // "": versions that do not say it
	Protocol         string
	Assignments      map[string][]byte // by member; only the leader's count
}

// ClassicSynced answers a ClassicSync.
type ClassicSynced struct {
	Code         int16
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// ClassicGroupInfo is a group at a glance.
type ClassicGroupInfo struct {
	State        string
	ProtocolType string
	Protocol     string
	Generation   int32
	Leader       string
	Members      []ClassicMemberInfo
}

// ClassicMemberInfo is a member at a glance.
type ClassicMemberInfo struct {
	ID, Instance, ClientID, Host string
	Metadata                     []byte // for the protocol that was chosen
	Assignment                   []byte
	SessionMs                    int64
	Expires                      int64 // when its session ends, in milliseconds since 1970
}

// ClassicMember names a member, and the generation that it knows.
type ClassicMember struct {
	Member, Instance string
	Generation       int32
}

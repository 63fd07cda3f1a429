package kafka

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// Any node answers for any group, so a client's coordinator is the node that it asks. That one
// asks the group's real coordinator, the leader of its partition of __consumer_offsets. When that
// moves clients need not look for it: all members join again, because the new one knows none.

// groupHandlers answer members of groups, and who asks about groups. Who is a member, and what
// it may do in which generation, is decided in actors/classic; here it is only translated.
type groupHandlers struct {
	*caller
	*socket
	memory *memory
}

// groupError is Kafka's code for a group whose coordinator could not be asked. What may pass is
// COORDINATOR_LOAD_IN_PROGRESS, upon which clients ask here again after a pause, or
// NOT_COORDINATOR, upon which they look for the coordinator anew, and perhaps come by another
// node. It is NOT_COORDINATOR also where nobody knows whether it was done, unless the caller knows
// better: to ask a second time does no harm.
func groupError(err *protocol.Error) int16 {
	if err == nil {
		return errNone
	}
	switch err.Code {
	case protocol.CodeForbidden:
		return errGroupAuthorizationFailed
	case protocol.CodeInvalidName:
		return errInvalidGroupID
	case protocol.CodeGroupNotFound:
		return errGroupIDNotFound
	case protocol.CodeGroupNotEmpty:
		return errNonEmptyGroup
	case protocol.CodeTooManyGroups:
		return errPolicyViolation
	case protocol.CodeStarting:
		return errCoordinatorLoadInProgress
	}
	return errNotCoordinator
}

// long runs what may take long, and gives it up when the server ends, the client leaves,
// or its token ends. What is asked cannot be called back: its goroutine goes on until the
// coordinator answers, or has given up those who do not come, and nobody reads the answer. So ask
// must not use what is of the request's memory, and the member stays one until its session ends.
//
// Whether the client leaves is seen by reading from the connection, which is otherwise not read
// now. Of who has sent the next request already it cannot be seen; clients wait for the answer.
func long[T any](h *groupHandlers, ask func() (T, *protocol.Error)) (T, *protocol.Error) {
	type result struct {
		v   T
		err *protocol.Error
	}
	ended := make(chan result, 1)
	go func() {
		v, err := ask()
		ended <- result{v, err}
	}()
	left, stop := h.watch()
	defer stop()
	var none T
	select {
	case r := <-ended:
		return r.v, r.err
	case <-left:
		return none, protocol.Errorf(protocol.CodeShuttingDown, "the client has left")
	case <-h.who.Ended():
		return none, protocol.Errorf(protocol.CodeShuttingDown, "the token has ended or changed") // the next request shows which
	case <-h.srv.done:
		return none, protocol.Errorf(protocol.CodeShuttingDown, "the broker is shutting down")
	}
}

// nullable is a string of a request that may be missing.
func nullable(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// orNull is nil for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// newMemberID makes the id of a member, which begins with how its client calls itself, as Kafka's
// do: people look for that in lists of members. It cannot be guessed, because whoever knows the
// id may commit and leave for the member.
func newMemberID(client string) string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("BUG: no randomness: " + err.Error())
	}
	if len(client) > protocol.MaxNameLength {
		client = client[:protocol.MaxNameLength]
	}
	return strings.ToValidUTF8(client, "") + "-" + hex.EncodeToString(b[:])
}

// joinGroup asks to be a member, and answers when all others have joined as well, or have been
// given up: that takes up to the longest rebalance time-out of the members, and longestRebalance
// at most. What members say of themselves is copied and counted meanwhile, the rest of the
// request is given back.
//
// By versions: 0 has no time-out for the rebalance, for which the session's stands, or the group
// would never be complete; from 4 on a new member gets an id first, and joins again with it
// (KIP-394), but not a static one (KIP-345), which is known by its instance; from 7 on protocols
// that are not there are null (KIP-559); from 9 on a static leader may be told to leave the
// assignment as it is (KIP-814).
//
// Where nobody knows whether the join has had an effect the code is REBALANCE_IN_PROGRESS: the
// client joins again, and what it may have left behind expires.
func (h *groupHandlers) joinGroup(req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	resp := answerTo[*kmsg.JoinGroupResponse](req)
	resp.Generation, resp.Protocol, resp.Members = -1, new(string), []kmsg.JoinGroupResponseMember{}
	resp.MemberID = req.MemberID
	if !protocol.ValidName(req.Group) {
		resp.ErrorCode = errInvalidGroupID
		return resp
	}
	join := &protocol.ClassicJoin{
		Member: req.MemberID, Instance: nullable(req.InstanceID), ClientID: h.clientID, Host: h.peer(),
		SessionMs: int64(req.SessionTimeoutMillis), RebalanceMs: int64(req.RebalanceTimeoutMillis), ProtocolType: req.ProtocolType,
		NeedsID: req.Version >= 4 && req.InstanceID == nil, NewID: newMemberID(h.clientID), MayJoinAgain: req.Version >= 9,
	}
	if req.Version == 0 {
		join.RebalanceMs = join.SessionMs
	}
	join.RebalanceMs = min(join.RebalanceMs, longestRebalance.Milliseconds())
	if len(req.Protocols) > maxProtocols {
		resp.ErrorCode = errInconsistentGroupProtocol
		return resp
	}
	size := int64(firstBytes)
	for i := range req.Protocols {
		p := &req.Protocols[i]
		size += int64(len(p.Name) + len(p.Metadata))
		join.Protocols = append(join.Protocols, protocol.ClassicProtocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	h.memory.keep(size) // while it waits for the others
	b := h.view(protocol.RightRead)
	joined, err := long(h, func() (protocol.ClassicJoined, *protocol.Error) {
		return b.JoinClassic(h.srv.o.Cluster, req.Group, join)
	})
	if err != nil {
		if resp.ErrorCode = groupError(err); err.Outcome == protocol.OutcomeUnknown {
			resp.ErrorCode = errRebalanceInProgress
		}
		return resp
	}
	resp.ErrorCode, resp.Generation, resp.MemberID, resp.LeaderID, resp.SkipAssignment = joined.Code, joined.Generation, joined.Member, joined.Leader, joined.Skip
	resp.ProtocolType, resp.Protocol = orNull(joined.ProtocolType), &joined.Protocol
	if joined.Code != errNone && req.Version >= 7 {
		resp.Protocol = nil
	}
	for _, m := range joined.Members {
		o := kmsg.NewJoinGroupResponseMember()
		o.MemberID, o.InstanceID, o.ProtocolMetadata = m.ID, orNull(m.Instance), orEmpty(m.Metadata)
		resp.Members = append(resp.Members, o)
	}
	return resp
}

// orEmpty is never nil: many fields of bytes may not be null.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// syncGroup asks for a member's assignment, and waits for the leader to bring those of all in the
// same request of its own. A member without a share gets an assignment that says so, if the group
// is one of consumers: franz-go and others cannot read nothing at all. What other protocols
// (Connect's) mean by their bytes is not known here.
func (h *groupHandlers) syncGroup(req *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	resp := answerTo[*kmsg.SyncGroupResponse](req)
	resp.MemberAssignment = []byte{}
	ask := &protocol.ClassicSync{
		Member: req.MemberID, Instance: nullable(req.InstanceID), Generation: req.Generation,
		ProtocolType: nullable(req.ProtocolType), Protocol: nullable(req.Protocol), Assignments: map[string][]byte{},
	}
	size := int64(firstBytes)
	for i := range req.GroupAssignment {
		a := &req.GroupAssignment[i]
		const entry = 64
		size += int64(entry + len(a.MemberID) + len(a.MemberAssignment))
		ask.Assignments[a.MemberID] = bytes.Clone(a.MemberAssignment)
	}
	h.memory.keep(2 * size) // while it waits for the leader
	b := h.view(protocol.RightRead)
	synced, err := long(h, func() (protocol.ClassicSynced, *protocol.Error) {
		return b.SyncClassic(h.srv.o.Cluster, req.Group, ask, longestRebalance)
	})
	if err != nil {
		resp.ErrorCode = memberError(err)
		return resp
	}
	resp.ErrorCode, resp.ProtocolType, resp.Protocol = synced.Code, orNull(synced.ProtocolType), orNull(synced.Protocol)
	resp.MemberAssignment = orEmpty(synced.Assignment)
	if synced.Code == errNone && len(synced.Assignment) == 0 && synced.ProtocolType == consumerProtocol {
		none := kmsg.NewConsumerMemberAssignment()
		resp.MemberAssignment = none.AppendTo(nil)
	}
	return resp
}

// memberError is the code for a member whose group is not known, or whose coordinator
// could not be asked. UNKNOWN_MEMBER_ID has it join again as a new one.
func memberError(err *protocol.Error) int16 {
	if err != nil && err.Code == protocol.CodeGroupNotFound {
		return errUnknownMemberID
	}
	return groupError(err)
}

const consumerProtocol = "consumer"

// heartbeat is a member's sign of life, by which it also learns that others join or leave, and
// that it has to join again (REBALANCE_IN_PROGRESS).
func (h *groupHandlers) heartbeat(req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	resp := answerTo[*kmsg.HeartbeatResponse](req)
	code, err := h.view(protocol.RightRead).HeartbeatClassic(h.srv.o.Cluster, req.Group,
		protocol.ClassicMember{Member: req.MemberID, Instance: nullable(req.InstanceID), Generation: req.Generation})
	if resp.ErrorCode = code; err != nil {
		resp.ErrorCode = memberError(err)
	}
	return resp
}

// leaveGroup removes members: one below version 3, whose code is that of the answer, and any
// number from there on (KIP-345), each with a code of its own. Tools remove static members so,
// by their instances.
func (h *groupHandlers) leaveGroup(req *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	resp := answerTo[*kmsg.LeaveGroupResponse](req)
	members := req.Members
	if req.Version < 3 {
		members = []kmsg.LeaveGroupRequestMember{{MemberID: req.MemberID}}
	}
	asked := make([]protocol.ClassicMember, len(members))
	for i := range members {
		asked[i] = protocol.ClassicMember{Member: members[i].MemberID, Instance: nullable(members[i].InstanceID)}
	}
	var codes []int16
	var err *protocol.Error
	if len(asked) > 0 {
		codes, err = h.view(protocol.RightRead).LeaveClassic(h.srv.o.Cluster, req.Group, asked)
	}
	if err != nil {
		resp.ErrorCode = memberError(err)
		return resp
	}
	for i := range members {
		o := kmsg.NewLeaveGroupResponseMember()
		o.MemberID, o.InstanceID, o.ErrorCode = members[i].MemberID, members[i].InstanceID, codes[i]
		resp.Members = append(resp.Members, o)
	}
	if req.Version < 3 {
		resp.ErrorCode = codes[0]
	}
	return resp
}

package kafka

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// Any node answers for any group, so a client's coordinator is the node that it asks.

// groupHandlers answer members of groups, and who asks about groups.
type groupHandlers struct {
	*caller
	*socket
	memory *memory
}

// groupError is Kafka's code for a group whose coordinator could not be asked.
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
// or its token ends.
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

// newMemberID makes the id of a member, which begins with how its client calls itself.
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

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

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
		resp.MemberAssignment = none.AppendTo(nil) // some clients cannot read nothing at all
	}
	return resp
}

// memberError is the code for a member whose group is not known, or whose coordinator
// could not be asked.
func memberError(err *protocol.Error) int16 {
	if err != nil && err.Code == protocol.CodeGroupNotFound {
		return errUnknownMemberID
	}
	return groupError(err)
}

const consumerProtocol = "consumer"

func (h *groupHandlers) heartbeat(req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	resp := answerTo[*kmsg.HeartbeatResponse](req)
	code, err := h.view(protocol.RightRead).HeartbeatClassic(h.srv.o.Cluster, req.Group,
		protocol.ClassicMember{Member: req.MemberID, Instance: nullable(req.InstanceID), Generation: req.Generation})
	if resp.ErrorCode = code; err != nil {
		resp.ErrorCode = memberError(err)
	}
	return resp
}

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

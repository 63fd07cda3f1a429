package classic

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func request(member, instance, newID string) *JoinRequest {
	return &JoinRequest{
		Member: member, Instance: instance, NewID: newID, ClientID: "c", SessionMs: 10_000, RebalanceMs: 30_000,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: []byte("r-" + newID)}, {Name: "roundrobin", Metadata: []byte("rr")}},
	}
}

// script is a group and what its members were told.
type script struct {
	t *testing.T
	*Group
	now   int64
	joins map[string]JoinReply
	syncs map[string]SyncReply
}

func newScript(t *testing.T) *script {
	return &script{t: t, Group: New(), joins: map[string]JoinReply{}, syncs: map[string]SyncReply{}}
}

// join sends a request; the answer is kept under a name.
func (s *script) join(name string, req *JoinRequest) {
	s.Join(s.now, req, func(r JoinReply) { s.joins[name] = r })
}

func (s *script) sync(name string, assignments map[string][]byte) {
	s.Sync(s.now, &SyncRequest{Member: s.joins[name].Member, Generation: s.joins[name].Generation, Assignments: assignments}, func(r SyncReply) { s.syncs[name] = r })
}

func (s *script) pass(ms int64) {
	until := s.now + ms
	for next := s.NextDeadline(); next != 0 && next <= until; next = s.NextDeadline() {
		s.now = max(s.now, next)
		s.Expire(s.now)
	}
	s.now = until
}

// stable makes a group of members a and b; a leads.
func stable(t *testing.T) *script {
	s := newScript(t)
	s.join("a", request("", "", "a"))
	s.join("b", request("", "", "b"))
	require.Empty(t, s.joins, "the first join waits for others")
	s.pass(initialDelay)
	require.Len(t, s.joins, 2)
	require.Equal(t, "a", s.joins["a"].Leader)
	require.Equal(t, []JoinedMember{{ID: "a", Metadata: []byte("r-a")}, {ID: "b", Metadata: []byte("r-b")}}, s.joins["a"].Members)
	require.Empty(t, s.joins["b"].Members)
	s.sync("b", nil)
	require.Empty(t, s.syncs, "it waits for the leader")
	s.sync("a", map[string][]byte{"a": {1}, "b": {2}})
	require.Equal(t, SyncReply{ProtocolType: "consumer", Protocol: "range", Assignment: []byte{2}}, s.syncs["b"])
	require.Equal(t, Stable, s.State())
	return s
}

func TestMembersAgree(t *testing.T) {
	s := stable(t)
	assert.Equal(t, None, s.Heartbeat(s.now, "a", "", 1))
	assert.Equal(t, IllegalGeneration, s.Heartbeat(s.now, "a", "", 2))
	assert.Equal(t, UnknownMemberID, s.Heartbeat(s.now, "x", "", 1))
	assert.Equal(t, None, s.MayCommit(s.now, "b", "", 1))
	assert.Equal(t, IllegalGeneration, s.MayCommit(s.now, "b", "", 0))
	assert.Equal(t, UnknownMemberID, s.MayCommit(s.now, "", "", -1), "while it has members")
	d := s.Describe()
	assert.Equal(t, "Stable", d.State)
	assert.Equal(t, "range", d.Protocol)
	assert.Equal(t, []byte{2}, d.Members[1].Assignment)
}

func TestANewMemberHasAllJoinAgain(t *testing.T) {
	s := stable(t)
	s.join("c", request("", "", "c"))
	assert.Equal(t, RebalanceInProgress, s.Heartbeat(s.now, "a", "", 1))
	assert.Equal(t, None, s.MayCommit(s.now, "a", "", 1), "what was done before may still be committed")
	s.join("a", request("a", "", ""))
	s.join("b", request("b", "", ""))
	for _, name := range []string{"a", "b", "c"} {
		assert.EqualValues(t, 2, s.joins[name].Generation, name)
	}
	assert.Equal(t, RebalanceInProgress, s.MayCommit(s.now, "a", "", 2), "before it knows what it has")
	s.sync("a", map[string][]byte{"c": {3}})
	s.sync("c", nil)
	assert.Equal(t, []byte{3}, s.syncs["c"].Assignment)
	s.sync("b", nil)
	assert.Empty(t, s.syncs["b"].Assignment)
}

func TestWhoDoesNotJoinInTimeIsOut(t *testing.T) {
	s := stable(t)
	s.join("c", request("", "", "c"))
	s.join("a", request("a", "", ""))
	s.pass(9_000)
	s.Heartbeat(s.now, "b", "", 1) // it lives and does not join
	s.pass(9_000)
	s.Heartbeat(s.now, "b", "", 1)
	s.pass(9_000)
	s.Heartbeat(s.now, "b", "", 1)
	assert.EqualValues(t, 1, s.joins["a"].Generation)
	s.pass(3_000)
	assert.EqualValues(t, 2, s.joins["a"].Generation)
	assert.Len(t, s.joins["a"].Members, 2)
	assert.Equal(t, UnknownMemberID, s.Heartbeat(s.now, "b", "", 1))
}

func TestALeaderThatDoesNotAssignIsReplaced(t *testing.T) {
	s := newScript(t)
	s.join("a", request("", "", "a"))
	s.join("b", request("", "", "b"))
	s.pass(initialDelay)
	s.sync("b", nil)
	s.pass(10_000)
	assert.Equal(t, RebalanceInProgress, s.syncs["b"].Code)
	s.join("b", request("b", "", ""))
	assert.Equal(t, "b", s.joins["b"].Leader)
	assert.EqualValues(t, 2, s.joins["b"].Generation)
}

func TestSilentMembersExpire(t *testing.T) {
	s := stable(t)
	s.pass(6_000)
	s.Heartbeat(s.now, "a", "", 1)
	s.pass(6_000)
	assert.Equal(t, UnknownMemberID, s.Heartbeat(s.now, "b", "", 1))
	assert.Equal(t, RebalanceInProgress, s.Heartbeat(s.now, "a", "", 1))
	assert.Equal(t, None, s.Leave(s.now, "a", ""))
	assert.Equal(t, Empty, s.State())
	assert.False(t, s.Live())
	assert.Equal(t, None, s.MayCommit(s.now, "", "", -1))
}

func TestMembersWithoutIDsAreGivenOne(t *testing.T) {
	s := newScript(t)
	req := request("", "", "new")
	req.NeedsID = true
	s.join("x", req)
	assert.Equal(t, JoinReply{Code: MemberIDRequired, Generation: -1, Member: "new"}, s.joins["x"])
	s.join("other", request("", "", "o"))
	s.pass(initialDelay)
	assert.EqualValues(t, 1, s.joins["other"].Generation, "an id that is not used holds back nobody")
	s.join("x", request("new", "", ""))
	assert.Equal(t, PreparingRebalance, s.State())
	s.join("late", request("unheard-of", "", ""))
	assert.Equal(t, UnknownMemberID, s.joins["late"].Code)
	for range maxPending {
		req := request("", "", fmt.Sprint("p", s.now))
		req.NeedsID = true
		s.join("flood", req)
		s.now++
	}
	s.join("flood", req)
	assert.Equal(t, GroupMaxSizeReached, s.joins["flood"].Code)
	s.pass(20_000)
	assert.Empty(t, s.pending)
}

func TestProtocolsMustAgree(t *testing.T) {
	s := stable(t)
	req := request("", "", "c")
	req.Protocols = []Protocol{{Name: "sticky", Metadata: nil}}
	s.join("c", req)
	assert.Equal(t, InconsistentGroupProtocol, s.joins["c"].Code)
	req = request("", "", "c")
	req.ProtocolType = "connect"
	s.join("c", req)
	assert.Equal(t, InconsistentGroupProtocol, s.joins["c"].Code)
	req = request("", "", "c")
	req.Protocols = []Protocol{{Name: "roundrobin", Metadata: nil}}
	s.join("c", req)
	s.join("a", request("a", "", ""))
	s.join("b", request("b", "", ""))
	assert.Equal(t, "roundrobin", s.joins["c"].Protocol)
	req.SessionMs = 1
	s.join("c", req)
	assert.Equal(t, InvalidSessionTimeout, s.joins["c"].Code)
	req.SessionMs, req.Protocols = 10_000, nil
	s.join("c", req)
	assert.Equal(t, InconsistentGroupProtocol, s.joins["c"].Code)
}

func TestStaticMembersComeBackUnnoticed(t *testing.T) {
	s := newScript(t)
	s.join("a", request("", "one", "a"))
	s.join("b", request("", "two", "b"))
	s.pass(initialDelay)
	s.sync("a", map[string][]byte{"a": {1}, "b": {2}})
	again := request("", "two", "b2")
	again.Protocols[0].Metadata = []byte("r-b")
	s.join("b2", again)
	assert.EqualValues(t, 1, s.joins["b2"].Generation)
	assert.Equal(t, Stable, s.State())
	s.Sync(s.now, &SyncRequest{Member: "b2", Instance: "two", Generation: 1}, func(r SyncReply) { s.syncs["b2"] = r })
	assert.Equal(t, []byte{2}, s.syncs["b2"].Assignment)
	assert.Equal(t, FencedInstanceID, s.Heartbeat(s.now, "b", "two", 1), "the one before it")
	leader := request("", "one", "a2")
	leader.Protocols[0].Metadata = []byte("r-a")
	s.join("a2", leader)
	assert.Equal(t, "a", s.joins["a2"].Leader, "it need not assign")
	leader = request("", "one", "a3")
	leader.Protocols[0].Metadata, leader.MayJoinAgain = []byte("r-a"), true
	s.join("a3", leader)
	assert.True(t, s.joins["a3"].Skip)
	assert.Equal(t, None, s.Leave(s.now, "", "two"))
	assert.Equal(t, RebalanceInProgress, s.Heartbeat(s.now, "a3", "one", 1))
}

func TestTheEndAnswersEverybody(t *testing.T) {
	s := newScript(t)
	s.join("a", request("", "", "a"))
	s.End(16)
	assert.EqualValues(t, 16, s.joins["a"].Code)
}

// What members say of themselves is bounded, one by one and all together, and a
// protocol that a member names twice counts once.
func TestWhatMembersSayIsBounded(t *testing.T) {
	s := newScript(t)
	large := func(id string, bytes int) *JoinRequest {
		r := request("", "", id)
		r.Protocols = []Protocol{{Name: "range", Metadata: make([]byte, bytes)}}
		return r
	}
	s.join("too large", large("too large", maxMetadataBytes+1))
	assert.Equal(t, InconsistentGroupProtocol, s.joins["too large"].Code)
	many := request("", "", "many")
	many.Protocols = make([]Protocol, maxProtocols+1)
	s.join("many", many)
	assert.Equal(t, InconsistentGroupProtocol, s.joins["many"].Code)
	const size = maxMetadataBytes - 100
	fit := maxGroupBytes / maxMetadataBytes
	for i := range fit + 1 {
		s.join(fmt.Sprint(i), large(fmt.Sprint(i), size))
	}
	assert.Equal(t, GroupMaxSizeReached, s.joins[fmt.Sprint(fit)].Code)
	assert.Len(t, s.members, fit)
	require.Equal(t, None, s.Leave(s.now, "0", ""))
	s.join("late", large("late", size))
	assert.NotContains(t, s.joins, "late", "there is room again, and it waits for others")
	for i := range fit {
		s.Leave(s.now, fmt.Sprint(i), "")
	}
	s.Leave(s.now, "late", "")
	assert.Zero(t, s.bytes)

	s = newScript(t)
	twice := request("", "", "a")
	twice.Protocols = []Protocol{{Name: "x"}, {Name: "x"}, {Name: "both"}}
	other := request("", "", "b")
	other.Protocols = []Protocol{{Name: "both"}}
	s.join("a", twice)
	s.join("b", other)
	s.pass(initialDelay)
	assert.Equal(t, "both", s.joins["a"].Protocol)
}

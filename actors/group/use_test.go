package group

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/level/leveltest"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

const day = int64(24 * 60 * 60 * 1000)

func TestGroupsThatNobodyUsesExpire(t *testing.T) {
	h := newGroupHarness(t)
	expire := func() bool {
		recs := h.g.DecideExpireGroup(h.now, 7*day)
		h.do(recs)
		return len(recs) > 0
	}
	require.False(t, expire(), "there is no group yet")
	h.poll(1, "a:2")
	require.Nil(t, h.commit(1, "a/0=10,a/1=3"))
	for range 10 { // polls write nothing, and keep the group
		h.now += day
		require.False(t, expire())
		h.poll(1, "a:2")
	}
	h.now += 7*day - 1
	require.False(t, expire())
	h.now++
	require.True(t, expire())
	require.False(t, h.g.exists())
	require.Zero(t, h.g.offsets.Len())
	require.False(t, expire())
}

func TestExpiryAfterAFailover(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(1, "a:1")
	require.Nil(t, h.commit(1, "a/0=10"))
	h.now += 8 * day
	h.failover()
	require.Empty(t, h.g.DecideExpireGroup(h.now, 7*day), "its member gets another lease")
	h.now += 10_000
	require.NotEmpty(t, h.g.DecideExpireGroup(h.now, 7*day), "but a failover is no use")

	h.poll(1, "a:1")
	h.now += 10_000
	require.Empty(t, h.g.DecideExpireGroup(h.now, 7*day), "a poll is, even if it writes nothing")
	h.now += 6 * day
	require.Nil(t, h.commit(1, "a/0=11"))
	h.failover()
	h.now += 6 * day
	require.Empty(t, h.g.DecideExpireGroup(h.now, 7*day), "the log says when it was used")
}

// Leases stand on the time that the process began with. If that was wrong, commits are
// dated rightly all the same: the next process would take the group for unused.
func TestCommitsAreDatedByTheWallClock(t *testing.T) {
	h := newGroupHarness(t)
	right := h.now + 1000*day
	h.g.Wall = func() int64 { return right }
	h.poll(1, "a:1")
	require.Nil(t, h.commit(1, "a/0=10"))
	require.Empty(t, h.g.DecideExpireGroup(h.now+7*day, 7*day), "not by the wrong clock either")
	h.failover()
	require.Equal(t, right, h.g.usedAt())
	h.now = right + 6*day
	require.Empty(t, h.g.DecideExpireGroup(h.now, 7*day))
	h.now += day
	require.NotEmpty(t, h.g.DecideExpireGroup(h.now, 7*day))
}

func TestAPartitionThatWentAndCameBack(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(1, "a:2")
	require.True(t, h.g.Delivered(1, h.g.Generation(), parseOffsets(t, "a/0=5,a/1=7")))
	before := &Cursor{ConsumerID: 1, Generation: h.g.Generation(), Positions: []CursorPosition{{"id-a", 0, 5}, {"id-a", 1, 7}}}
	require.Len(t, h.g.OwnedPositions(before), 2)

	share := h.poll(2, "a:2")
	require.Len(t, share, 1)
	gone := share[0].Partition
	kept := h.g.OwnedPositions(before)
	require.Len(t, kept, 1)
	require.NotEqual(t, gone, kept[0].Partition)

	recs, err := h.g.DecideLeave(h.now, 2)
	require.Nil(t, err)
	h.do(recs)
	require.Equal(t, kept, h.g.OwnedPositions(before), "the other one may have been read by somebody else")
	_, known := h.g.PositionAt("id-a", gone)
	assert.False(t, known)
	owned, moved, err := h.g.Position(1, "")
	require.Nil(t, err)
	require.Len(t, owned, 1)
	assert.Equal(t, kept[0].Partition, owned[0].Partition)
	require.Len(t, moved, 1)
	assert.Equal(t, gone, moved[0].Partition)

	require.True(t, h.g.Delivered(1, h.g.Generation(), parseOffsets(t, "a/0=9,a/1=9")))
	list, _, err := h.g.Position(1, "")
	require.Nil(t, err)
	require.Len(t, list, 2)

	cursor := &Cursor{ConsumerID: 1, Generation: h.g.Generation(), Positions: before.Positions}
	recs, err = h.g.DecideSeek(h.now, parseOffsets(t, "a/0=0"), false)
	require.Nil(t, err)
	h.do(recs)
	require.Empty(t, h.g.OwnedPositions(cursor), "after a seek nobody goes on from where it was")
}

func TestAutoCommitDoesNotStepBack(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(1, "a:2")
	require.Nil(t, h.commit(1, "a/0=10"))
	recs, err := h.g.DecideAutoCommit(h.now, 1, h.g.Generation(), parseOffsets(t, "a/0=4,a/1=2"), 0)
	require.Nil(t, err)
	h.do(recs)
	at0, _ := h.g.committed("id-a", 0)
	at1, _ := h.g.committed("id-a", 1)
	assert.EqualValues(t, 10, at0.Offset)
	assert.EqualValues(t, 2, at1.Offset)
	_, err = h.g.DecideAck(h.now, 1, h.g.Generation(), parseOffsets(t, "a/0=4"))
	requireCode(t, protocol.CodeOffsetRegression, err)
}

func TestACommitDoesNotShortenTheLeaseOfAParkedPoll(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(1, "a:1")
	h.g.Polled(h.now, 1, 30_000)
	h.g.ExtendLease(h.now+1000, 1)
	assert.True(t, h.g.live(h.now+39_999, 1))
	h.g.RenewLease(h.now+1000, 1)
	assert.False(t, h.g.live(h.now+11_000, 1), "the end of the poll does")
}

// Whoever adds a record says from which level on it is written.
func TestEveryRecordHasALevel(t *testing.T) {
	for action := range actionKinds {
		assert.Contains(t, level.Formats, "offsets "+action)
	}
}

// So does whoever adds a field: older programs refuse what they do not know.
func TestEveryFieldHasALevel(t *testing.T) {
	leveltest.Fields(t, "fields.txt", map[string]any{"group": membershipValue{}, "offset": offsetValue{}})
}

// Of a queue's records those of how records ended, and of those that are given, have no
// time: they are many, and not looked into.
func TestLastUseOfAQueue(t *testing.T) {
	g := &Kept{}
	for key, value := range map[string]string{
		`["q","g"]`: `{"v":1,"at":3}`, `["qp","g","id",0]`: `{"v":1,"at":5}`, `["qe","g","id",0]`: `{"v":1,"at":7}`,
		`["qe","g","id",0,1]`: `{"v":1,"at":8}`, `["qn","g","id",0,0,0]`: `{"v":1,"at":9}`,
	} {
		g.Set(metarecord.Record{Action: "QUEUE", Key: []byte(key), Value: []byte(value)})
	}
	assert.EqualValues(t, 5, g.LastUse())
}

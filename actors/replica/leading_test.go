package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// What a leader gathers on a disk that does not move is bounded, for those who
// do not wait too; a state machine's own records are few and always taken.
func TestLeaderGathersSoMuch(t *testing.T) {
	r := &Replica{leading: newLeading(1, 1<<20)}
	propose := func(size int, noAck bool) *protocol.ProduceRequest {
		req := &protocol.ProduceRequest{NoAck: noAck, Lines: protocol.Lines{Buf: make([]byte, size)}}
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		r.Propose(Proposal{Request: req, Lines: &req.Lines})
		return req
	}
	refused := func(req *protocol.ProduceRequest) bool {
		res, ok := req.Reply.Wait(time.Time{})
		return ok && res.Err != nil && res.Err.Code == protocol.CodeOverloaded
	}
	require.False(t, refused(propose(maxQueuedBytes+1, false)), "a single one, however large")
	for range 100 {
		require.True(t, refused(propose(1, false)))
		require.True(t, refused(propose(1, true)), "not accepted and then dropped")
	}
	assert.Equal(t, maxQueuedBytes+1, r.leading.queue.bytes)
	assert.Len(t, r.leading.queue.items, 1)

	r.Propose(Proposal{Lines: &protocol.Lines{Buf: []byte("x")}, Done: func(protocol.ProduceResult) { t.Error("refused") }})
	assert.Len(t, r.leading.queue.items, 2)
}

// What has waited too long is refused and not written: nobody waits for it. An
// entry that was slow makes some be refused early, not all of them for good.
func TestLeaderDropsWhatIsTooLate(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	l := newLeading(1, 1<<20)
	gather := func(left time.Duration) *protocol.ProduceRequest {
		req := &protocol.ProduceRequest{Lines: protocol.Lines{Buf: []byte("x")}, Deadline: now.Add(left)}
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		l.gather(Proposal{Request: req, Lines: &req.Lines})
		return req
	}
	refused := func(req *protocol.ProduceRequest) bool {
		res, ok := req.Reply.Wait(time.Time{})
		require.True(t, !ok || res.Err.Code == protocol.CodeOverloaded && res.Err.Outcome == protocol.OutcomeNone)
		return ok
	}
	late, inTime := gather(-time.Millisecond), gather(time.Hour)
	patient, once := gather(0), gather(-time.Second)
	patient.Deadline, once.ProducerID = time.Time{}, "p"
	l.dropLate(now)
	require.True(t, refused(late))
	require.False(t, refused(inTime))
	require.Len(t, l.queue.items, 3)
	require.Equal(t, 3, l.queue.bytes)
	require.EqualValues(t, 4, l.accepted)
	require.EqualValues(t, 1, l.answered)

	inTime.Deadline = now.Add(maxLatency / 2)
	l.latency.note(now.Add(-time.Hour), now) // the disk has hung
	l.dropLate(now)
	require.True(t, refused(inTime), "the next entry will take longer")
	require.Less(t, l.latency.last, maxLatency, "a little less is expected of the one after")
	require.Len(t, l.queue.items, 2, "whoever does not give up is served")
	l.queue.drop(1, 1)
	l.dropLate(now)
	require.Len(t, l.queue.items, 1, "a retry is to find it")
	l.queue.clear()

	l.latency.note(now.Add(-time.Hour), now)
	patient = gather(2 * maxLatency)
	l.dropLate(now)
	require.False(t, refused(patient), "an hour says little about the next entry")
	l.queue.clear()
	l.latency = commitLatency{last: time.Hour, at: now.Add(-maxLatency)}
	soon := gather(time.Minute)
	l.dropLate(now)
	require.False(t, refused(soon), "nothing was slow lately")
}

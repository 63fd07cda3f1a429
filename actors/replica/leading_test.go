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
	r := &Replica{leading: newLeading(1)}
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
	assert.Equal(t, maxQueuedBytes+1, r.leading.queuedBytes)
	assert.Len(t, r.leading.queue, 1)

	r.Propose(Proposal{Lines: &protocol.Lines{Buf: []byte("x")}, Done: func(protocol.ProduceResult) { t.Error("refused") }})
	assert.Len(t, r.leading.queue, 2)
}

// What has waited too long is refused and not written: nobody waits for it. A
// round that was slow makes some be refused early, not all of them for good.
func TestLeaderDropsWhatIsTooLate(t *testing.T) {
	r := &Replica{leading: newLeading(1)}
	l := r.leading
	gather := func(left time.Duration) *protocol.ProduceRequest {
		req := &protocol.ProduceRequest{Lines: protocol.Lines{Buf: []byte("x")}, Deadline: time.Now().Add(left)}
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		r.Propose(Proposal{Request: req, Lines: &req.Lines})
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
	l.dropLate()
	require.True(t, refused(late))
	require.False(t, refused(inTime))
	require.Len(t, l.queue, 3)
	require.Equal(t, 3, l.queuedBytes)
	require.EqualValues(t, 4, l.taken)
	require.EqualValues(t, 1, l.answered)

	inTime.Deadline = time.Now().Add(maxPace / 2)
	l.keepPace(time.Now().Add(-time.Hour)) // the disk has hung
	l.dropLate()
	require.True(t, refused(inTime), "the next round will take longer")
	require.Len(t, l.queue, 2, "whoever does not give up is served")
	l.take(1, 1)
	l.dropLate()
	require.Len(t, l.queue, 1, "a retry is to find it")
	l.queue, l.queuedBytes = nil, 0

	l.keepPace(time.Now().Add(-time.Hour))
	patient = gather(2 * maxPace)
	l.dropLate()
	require.False(t, refused(patient), "an hour says little about the next round")
	l.queue, l.queuedBytes = nil, 0
	l.pace, l.paced = time.Hour, time.Now().Add(-maxPace)
	soon := gather(time.Minute)
	l.dropLate()
	require.False(t, refused(soon), "nothing was slow lately")
}

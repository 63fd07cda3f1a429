package actors

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
	r := &replica{leading: newLeading(1)}
	propose := func(size int, noAck bool) *protocol.ProduceRequest {
		req := &protocol.ProduceRequest{NoAck: noAck, Lines: protocol.Lines{Buf: make([]byte, size)}}
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		r.propose(proposal{req: req, lines: &req.Lines})
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

	r.propose(proposal{lines: &protocol.Lines{Buf: []byte("x")}, done: func(protocol.ProduceResult) { t.Error("refused") }})
	assert.Len(t, r.leading.queue, 2)
}

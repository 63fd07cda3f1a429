package front

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

// record is a request for one record of a partition.
func record(t *protocol.Topic, partition int) *protocol.ProduceRequest {
	req := &protocol.ProduceRequest{Topic: t, Partition: partition}
	req.Lines.Add(1, t.Name, partition, []byte(`"k"`), []byte("1"), protocol.ActionProduce, nil)
	return req
}

func accepts(at protocol.Offset) func(*protocol.ProduceRequest) {
	return func(req *protocol.ProduceRequest) { req.Reply.Put(protocol.ProduceResult{BaseOffset: at}) }
}

// A request may carry records for many partitions. One that fails is no reason
// for the others to.
func TestProduceToManyPartitions(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 3)
	leaders[0].produce = accepts(5)
	leaders[1].produce = func(req *protocol.ProduceRequest) {
		req.Reply.Put(protocol.ProduceResult{Err: protocol.Errorf(protocol.CodeStaleSequence, "old")})
	}
	leaders[2].produce = func(req *protocol.ProduceRequest) {
		req.Reply.Put(protocol.ProduceResult{BaseOffset: 1, Duplicate: true})
	}
	reqs := []*protocol.ProduceRequest{record(q, 0), record(q, 1), record(q, 2)}
	w.Produce(reqs, time.Now().Add(patience))
	require.Nil(t, reqs[0].Result.Err)
	assert.Equal(t, protocol.Offset(5), reqs[0].Result.BaseOffset)
	requireCode(t, protocol.CodeStaleSequence, reqs[1].Result.Err)
	assert.True(t, reqs[2].Result.Duplicate)
	for p, want := range []uint64{1, 0, 0} {
		assert.Equal(t, want, routing.Of(q).Partitions[p].Stats.ProducedRecords.Load(), "records counted for partition %d", p)
	}
}

// A leader that refuses because it does not lead has done nothing, so the
// records go to the next one.
func TestProduceFollowsTheLeader(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].produce = func(req *protocol.ProduceRequest) {
		leaders[0].resign()
		req.Reply.Put(protocol.ProduceResult{Err: protocol.ErrNotLeader})
		w.lead(q, 0).produce = accepts(7)
	}
	req, waited := record(q, 0), 0
	req.Waits = func() { waited++ }
	w.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(patience))
	require.Nil(t, req.Result.Err)
	assert.Equal(t, protocol.Offset(7), req.Result.BaseOffset)
	assert.Positive(t, waited)
	waited = 0
	w.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(patience))
	assert.Zero(t, waited, "the leader answers at once")
}

// The buffers of lines may be used again only when nobody reads them any more.
func TestLinesAreSettledByTheLeaderThatHasWrittenThem(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	settled := func(result protocol.ProduceResult, set func(*protocol.ProduceRequest)) bool {
		leaders[0].produce = func(req *protocol.ProduceRequest) { req.Reply.Put(result) }
		req := record(q, 0)
		if set != nil {
			set(req)
		}
		w.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(patience))
		return req.Settled
	}
	assert.True(t, settled(protocol.ProduceResult{BaseOffset: 5}, nil))
	assert.False(t, settled(protocol.ProduceResult{BaseOffset: 5}, func(req *protocol.ProduceRequest) { req.NoAck = true }), "answered before it is written")
	assert.False(t, settled(protocol.ProduceResult{BaseOffset: 5, Duplicate: true}, nil), "answered while it is in the leader's queue")
	assert.False(t, settled(protocol.ProduceResult{Err: protocol.Unknownf("a reason")}, nil))

	leaders[0].produce = func(*protocol.ProduceRequest) {}
	late := record(q, 0)
	w.Produce([]*protocol.ProduceRequest{late}, time.Now().Add(20*time.Millisecond))
	assert.False(t, late.Settled, "the leader may still write it")

	routing.Of(q).Partitions[0].Leader().Away = true
	assert.True(t, settled(protocol.ProduceResult{BaseOffset: 5}, nil))
	leaders[0].produce = func(req *protocol.ProduceRequest) {
		leaders[0].resign()
		req.Reply.Put(protocol.ProduceResult{Err: protocol.ErrNotLeader})
		w.lead(q, 0).produce = accepts(7)
	}
	moved := record(q, 0)
	w.Produce([]*protocol.ProduceRequest{moved}, time.Now().Add(patience))
	require.Nil(t, moved.Result.Err)
	assert.False(t, moved.Settled, "it was sent to two leaders")
}

func TestProduceWithoutALeader(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].resign()
	req, waited := record(q, 0), 0
	req.Waits = func() { waited++ }
	w.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(100*time.Millisecond))
	assert.Positive(t, waited)
	requireCode(t, protocol.CodeNoLeader, req.Result.Err)
	assert.Equal(t, protocol.OutcomeNone, req.Result.Err.Outcome)
	w.replicas.running.Store(0)
	w.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(patience))
	requireCode(t, protocol.CodeNotEnoughReplicas, req.Result.Err)
}

// Records are never sent a second time when nobody knows what became of them:
// not when there is a next leader, and not when the first one says so.
func TestProduceIsNotRepeated(t *testing.T) {
	for says, first := range map[string]func(*protocol.ProduceRequest){
		"no majority confirmed": func(*protocol.ProduceRequest) {},
		"the leader ended": func(req *protocol.ProduceRequest) {
			req.Reply.Put(protocol.ProduceResult{Err: protocol.Unknownf("the leader ended")})
		},
	} {
		t.Run(says, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			leaders[0].produce = func(req *protocol.ProduceRequest) {
				w.lead(q, 0).produce = func(req *protocol.ProduceRequest) {
					t.Error("it is sent again")
					accepts(0)(req)
				}
				first(req)
			}
			req := record(q, 0)
			w.Produce([]*protocol.ProduceRequest{req}, time.Now().Add(100*time.Millisecond))
			requireCode(t, protocol.CodeOutcomeUnknown, req.Result.Err)
			assert.Equal(t, protocol.OutcomeUnknown, req.Result.Err.Outcome)
			assert.Contains(t, req.Result.Err.Message, says)
		})
	}
}

// An answer that comes at the very moment of the deadline is taken, or nobody knows: it
// never becomes an empty one, which would acknowledge offset 0.
func TestProduceAnsweredAtItsDeadline(t *testing.T) {
	w := newWorld(t)
	topic, leaders := w.withTopic("t", 1)
	leader := routing.Of(topic).Partitions[0].Leader()
	require.NotNil(t, leader)
	_ = leaders
	want := protocol.ProduceResult{BaseOffset: 7}
	var taken, unknown atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 4000 {
				req := &protocol.ProduceRequest{Topic: topic, Reply: protocol.NewFuture[protocol.ProduceResult]()}
				slot, deadline := req.Reply, time.Now().Add(20*time.Microsecond)
				timer := time.AfterFunc(time.Until(deadline)-time.Duration(i%20)*time.Microsecond, func() { slot.Put(want) })
				res := w.awaitProduce(req, leader, deadline)
				timer.Stop()
				switch {
				case res.Err != nil && res.Err.Outcome == protocol.OutcomeUnknown:
					unknown.Add(1)
				case assert.Equal(t, want, res):
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d answers were taken, %d came too late", taken.Load(), unknown.Load())
}

package coordinator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/protocol"
)

// queueProbe is a group that has become a queue of topic "t", with two records in
// partition 0.
func queueProbe(t *testing.T) *groupProbe {
	p := newGroupProbe(t)
	put := protocol.NewFuture[routing.GroupQueued]()
	p.system.Root.Send(p.group, &routing.GroupQueue{
		Change: queue.Change{Topics: []queue.Topic{{ID: "id-t", Name: "t"}}}, Secret: []byte("s"), Reply: put,
	})
	p.proposal().Done(protocol.ProduceResult{})
	a, ok := put.Wait(time.Now().Add(patience))
	require.True(t, ok && a.Created)
	p.feed(-1, -1)
	p.proposal().Done(protocol.ProduceResult{}) // of its position
	p.feed(0, 2)
	return p
}

func (p *groupProbe) feed(from, next int64) {
	r := &routing.QueueRead{Read: queue.Read{Scan: queue.Scan{Topic: "t", ID: protocol.PartitionID{TopicID: "id-t"}, From: from}, Next: next, End: max(0, next)}}
	for o := max(from, 0); o < next; o++ {
		r.Records = append(r.Records, queue.ReadRecord{Offset: o, Size: 10})
	}
	p.system.Root.Send(p.group, r)
}

// work is a poll for one record.
func (p *groupProbe) work(id protocol.ConsumerID, wait int64) (*routing.PollHandle, protocol.Future[routing.GroupShare]) {
	h := &routing.PollHandle{}
	h.Waiter = protocol.NewWaiter(func() { p.woken <- h })
	reply := protocol.NewFuture[routing.GroupShare]()
	p.system.Root.Send(p.group, &routing.GroupPoll{
		Consumer: id, Topics: []group.SubscribedTopic{{Name: "t", ID: "id-t", Partitions: 1}}, SessionMs: 60_000, WaitMs: wait, Records: 1, Bytes: 1000, Handle: h, Reply: reply,
	})
	return h, reply
}

func (p *groupProbe) says(w queue.Word, receipt string) protocol.Future[routing.GroupSaid] {
	reply := protocol.NewFuture[routing.GroupSaid]()
	p.system.Root.Send(p.group, &routing.GroupSay{Word: w, Receipts: []string{receipt}, Reply: reply})
	return reply
}

// A delivery and an ack are answered when they are committed, and an answer that rests
// on them waits as well.
func TestQueueAnswersWhatIsCommitted(t *testing.T) {
	p := queueProbe(t)
	_, reply := p.work(1, 0)
	given := p.proposal()
	_, ok := reply.Wait(time.Now().Add(20 * time.Millisecond))
	require.False(t, ok, "answered before it was committed")
	given.Done(protocol.ProduceResult{})
	share := p.answer(reply)
	require.Len(t, share.Queue.Given, 1)

	ack := p.says(queue.Word{}, share.Queue.Given[0].Receipt)
	acked := p.proposal()
	again := p.says(queue.Word{}, share.Queue.Given[0].Receipt) // rests on the first
	_, ok = again.Wait(time.Now().Add(20 * time.Millisecond))
	require.False(t, ok)
	acked.Done(protocol.ProduceResult{})
	for _, f := range []protocol.Future[routing.GroupSaid]{ack, again} {
		a, ok := f.Wait(time.Now().Add(patience))
		require.True(t, ok)
		assert.Equal(t, []queue.Verdict{queue.Done}, a.Verdicts)
	}
}

// What is not committed is unknown, and its actor ends.
func TestQueueWhoseDeliveryIsNotCommitted(t *testing.T) {
	p := queueProbe(t)
	_, reply := p.work(1, 0)
	p.proposal().Done(protocol.ProduceResult{Err: protocol.Unknownf("lost")})
	share := p.answer(reply)
	require.NotNil(t, share.Err)
	require.IsType(t, &groupFailed{}, <-p.asked)
	_, reply = p.work(1, 0)
	require.Equal(t, protocol.ErrNotLeader, p.answer(reply).Err)
}

// A worker that waits is called when there is something, and one that has left gives
// its turn to the next.
func TestQueueCallsWhoWaits(t *testing.T) {
	p := queueProbe(t)
	for range 2 {
		_, reply := p.work(1, 0)
		p.proposal().Done(protocol.ProduceResult{})
		require.Len(t, p.answer(reply).Queue.Given, 1)
	}
	left, reply := p.work(2, 60_000)
	require.Empty(t, p.answer(reply).Queue.Given)
	waits, reply := p.work(3, 60_000)
	require.Empty(t, p.answer(reply).Queue.Given)
	p.system.Root.Send(p.group, &routing.GroupPollEnded{Consumer: 2, Handle: left})
	p.feed(2, 3)
	p.wakes(waits)
	assert.Equal(t, routing.PollRebalanced, waits.Signal())
	assert.Equal(t, routing.PollGoesOn, left.Signal())
	_, reply = p.work(3, 0)
	p.proposal().Done(protocol.ProduceResult{})
	require.Len(t, p.answer(reply).Queue.Given, 1)

	older, _ := p.work(4, 60_000)
	_, reply = p.work(4, 0)
	p.wakes(older)
	assert.Equal(t, routing.PollSuperseded, older.Signal())
	require.Empty(t, p.answer(reply).Queue.Given)
}

// What a queue writes is of the fleet's level.
func TestQueueWritesWhatTheFleetCanRead(t *testing.T) {
	for at, key := range map[int]string{level.Endings.Level - 1: `["qe","g","id-t",0]`, level.Endings.Level: `["qe","g","id-t",0,1]`} {
		p := queueProbe(t)
		p.level.Store(int64(at))
		for _, w := range []queue.Word{{Verb: queue.Nack, DelayMs: new(int64)}, {Verb: queue.Ack}} {
			_, reply := p.work(1, 0)
			p.proposal().Done(protocol.ProduceResult{})
			said := p.says(w, p.answer(reply).Queue.Given[0].Receipt)
			m := p.proposal()
			m.Done(protocol.ProduceResult{})
			_, ok := said.Wait(time.Now().Add(patience))
			require.True(t, ok)
			if w.Verb == queue.Ack {
				assert.Contains(t, string(m.Lines.AppendNumbered(nil, 0)), key)
			}
		}
	}
}

// A worker is not told that its queue is gone before that is committed: the queue may be
// there after all.
func TestWordToAQueueWhoseDeletionIsNotCommitted(t *testing.T) {
	p := queueProbe(t)
	_, reply := p.work(1, 0)
	p.proposal().Done(protocol.ProduceResult{})
	share := p.answer(reply)
	p.system.Root.Send(p.group, &routing.GroupChange{Delete: true, Reply: protocol.NewFuture[*protocol.Error]()})
	deletion := p.proposal()
	said := p.says(queue.Word{}, share.Queue.Given[0].Receipt)
	_, ok := said.Wait(time.Now().Add(20 * time.Millisecond))
	require.False(t, ok, "answered before the deletion was committed")
	deletion.Done(protocol.ProduceResult{})
	a, ok := said.Wait(time.Now().Add(patience))
	require.True(t, ok)
	assert.Equal(t, []queue.Verdict{queue.Stale}, a.Verdicts)
}

// A queue is as old as its records say, also where the node has started with a wrong clock,
// by which it counts the leases of groups.
func TestAgeOfAQueueWhereTheClockWasWrong(t *testing.T) {
	p := newGroupProbe(t)
	p.steady.Store(p.wall.Load() - 3*time.Hour.Milliseconds())
	put := protocol.NewFuture[routing.GroupQueued]()
	p.system.Root.Send(p.group, &routing.GroupQueue{
		Change: queue.Change{Topics: []queue.Topic{{ID: "id-t", Name: "t"}}}, Secret: []byte("s"), Reply: put,
	})
	p.proposal().Done(protocol.ProduceResult{})
	_, ok := put.Wait(time.Now().Add(patience))
	require.True(t, ok)
	looked := protocol.NewFuture[routing.QueueWork]()
	p.system.Root.Send(p.group, &routing.QueueLook{Partitions: map[string]int{"id-t": 1}, Reply: looked})
	work, ok := looked.Wait(time.Now().Add(patience))
	require.True(t, ok)
	assert.Equal(t, p.wall.Load(), work.Born)
}

// The leases of a group stand on the steady clock, also where something is left of a queue.
func TestLeasesWhereAQueueHasLeftRecords(t *testing.T) {
	p := newGroupProbe(t, metarecord.Record{Action: "QUEUE", Key: []byte(`["qp","g","id-t",0]`), Value: []byte(`{"v":1,"topic":"t","position":66,"at":1}`)})
	p.steady.Store(p.wall.Load() - 3*time.Hour.Milliseconds())
	var last routing.GroupShare
	for id := range 2 {
		_, reply := p.poll(protocol.ConsumerID(1+id), 0)
		p.proposal().Done(protocol.ProduceResult{})
		last = p.answer(reply)
		p.wall.Add(10 * time.Minute.Milliseconds()) // it is set
	}
	assert.Len(t, last.Assigned, 1, "the other member has the other partition")
}

// A request that makes a queue, and is asked again because its answer is late, has made it
// all the same.
func TestQueueIsMadeByTheRequestThatIsAskedAgain(t *testing.T) {
	p := newGroupProbe(t)
	put := func(secret string) protocol.Future[routing.GroupQueued] {
		reply := protocol.NewFuture[routing.GroupQueued]()
		p.system.Root.Send(p.group, &routing.GroupQueue{
			Change: queue.Change{Topics: []queue.Topic{{ID: "id-t", Name: "t"}}}, Secret: []byte(secret), Reply: reply,
		})
		return reply
	}
	_ = put("s") // nobody waits for the answer any more
	proposal := p.proposal()
	again := put("s")
	other := put("u")
	proposal.Done(protocol.ProduceResult{})
	a, ok := again.Wait(time.Now().Add(patience))
	require.True(t, ok)
	assert.Nil(t, a.Err)
	assert.True(t, a.Created)
	a, ok = other.Wait(time.Now().Add(patience))
	require.True(t, ok)
	assert.Nil(t, a.Err)
	assert.False(t, a.Created)
}

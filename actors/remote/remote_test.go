package remote

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/logfile"
	"ottla/protocol"
)

// node is one end of a conversation: what it sends arrives at once at the other one,
// unless it is lost.
type node struct {
	*Leaders
	id    link.NodeID
	other *node
	lost  error // what calls end with, nil: they arrive
	drops bool  // messages are lost
}

func (n *node) Send(_ link.NodeID, _ link.Lane, kind uint16, parts ...[]byte) bool {
	if n.drops {
		return false
	}
	return n.other.Message(n.id, kind, joined(parts)) == nil
}

func (n *node) Call(_ link.NodeID, _ link.Lane, kind uint16, deadline time.Time, done func([]byte, error), parts ...[]byte) {
	if n.lost != nil {
		done(nil, n.lost)
		return
	}
	if err := n.other.Leaders.Call(n.id, kind, joined(parts), time.Until(deadline), done); err != nil {
		done(nil, protocol.Errorf(protocol.CodeInternal, "%v", err))
	}
}

func joined(parts [][]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// fakeLeader has a log in memory.
type fakeLeader struct {
	mu       sync.Mutex
	records  []logfile.Record
	earliest int64
	waiters  map[*protocol.Waiter]protocol.Offset
	asked    []routing.Question
	produced []*protocol.ProduceRequest
	refuses  *protocol.Error // views
}

func (l *fakeLeader) Produce(req *protocol.ProduceRequest) {
	l.produced = append(l.produced, req)
	req.Reply.Put(protocol.ProduceResult{BaseOffset: 41})
	req.Reply.Put(protocol.ProduceResult{BaseOffset: 42}) // as the commit of what was not to be acknowledged
}

func (l *fakeLeader) View() (routing.LogView, *protocol.Error) {
	if l.refuses != nil {
		return nil, l.refuses
	}
	return l, nil
}
func (l *fakeLeader) LogBytes() int64           { return 1 }
func (l *fakeLeader) Earliest() int64           { return l.earliest }
func (l *fakeLeader) HighWatermark() int64      { return int64(len(l.records)) }
func (l *fakeLeader) Estimate(int64, int) int64 { return 0 }
func (l *fakeLeader) OffsetForTime(ms int64) (int64, error) {
	if ms == 13 {
		return 0, logfile.ErrStale
	}
	return ms, nil
}

func (l *fakeLeader) Each(offset int64, maxRecords, _ int, emit func(*logfile.Record)) error {
	if offset < l.earliest {
		return logfile.ErrBelowStart
	}
	for i := offset; i < int64(len(l.records)) && maxRecords > 0; i++ {
		emit(&l.records[i])
		maxRecords--
	}
	return nil
}

func (l *fakeLeader) Read([]logfile.Record, int64, int, int) ([]logfile.Record, error) {
	panic("not used")
}

func (l *fakeLeader) Register(w *protocol.Waiter, offset protocol.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters[w] = offset
}

func (l *fakeLeader) Unregister(w *protocol.Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiters, w)
}

func (l *fakeLeader) Ask(q routing.Question) { l.asked = append(l.asked, q) }

var at = wire.Partition{Cluster: "c", PartitionID: protocol.PartitionID{TopicID: "t", Partition: 3}}

// conversation is a gateway, and the node of a leader.
func conversation(t *testing.T) (gateway *node, l *Leader, there *fakeLeader) {
	t.Helper()
	there = &fakeLeader{waiters: map[*protocol.Waiter]protocol.Offset{}}
	gateway, leads := &node{id: 1}, &node{id: 2}
	gateway.other, leads.other = leads, gateway
	log := slog.New(slog.DiscardHandler)
	gateway.Leaders = New(gateway, func(wire.Partition) (routing.Leader, bool) { return nil, false }, log)
	leads.Leaders = New(leads, func(p wire.Partition) (routing.Leader, bool) { return there, p == at }, log)
	for i := range int64(5) {
		there.records = append(there.records, logfile.Record{Offset: i, Timestamp: i, Key: []byte("1"), Value: []byte{byte('0' + i)}, Headers: []byte{}, Action: []byte("P")})
	}
	return gateway, gateway.Leader(2, at, 7, 9), there
}

func TestALeaderElsewhereIsReadLikeOneHere(t *testing.T) {
	_, l, there := conversation(t)
	assert.Equal(t, [2]any{7, uint64(9)}, [2]any{l.Broker, l.Term})
	assert.True(t, l.Away)
	v, err := l.View()
	require.Nil(t, err)
	assert.Equal(t, [2]int64{0, 5}, [2]int64{v.Earliest(), v.HighWatermark()})
	there.records = append(there.records, logfile.Record{Offset: 5})
	got, rerr := v.Read(nil, 2, 10, 1000)
	require.NoError(t, rerr)
	assert.Equal(t, there.records[2:5], got, "what came after the view is not in it")
	got, rerr = v.Read(nil, 0, 2, 1000)
	require.NoError(t, rerr)
	assert.Len(t, got, 2)
	got, rerr = v.Read(nil, 5, 2, 1000)
	require.NoError(t, rerr)
	assert.Empty(t, got)
	offset, rerr := v.OffsetForTime(4)
	require.NoError(t, rerr)
	assert.EqualValues(t, 4, offset)
	_, rerr = v.OffsetForTime(13)
	require.ErrorIs(t, rerr, logfile.ErrStale)
	there.earliest = 3
	_, rerr = v.Read(nil, 1, 2, 1000)
	require.ErrorIs(t, rerr, logfile.ErrStale, "removed since the view was taken, which says that it begins at 0")
	require.NotErrorIs(t, rerr, logfile.ErrBelowStart)
	v, err = l.View()
	require.Nil(t, err)
	_, rerr = v.Read(nil, 1, 2, 1000)
	require.ErrorIs(t, rerr, logfile.ErrBelowStart)
	assert.EqualValues(t, 3, v.Earliest())
}

func TestALeaderThatDoesNotAnswer(t *testing.T) {
	gateway, l, there := conversation(t)
	v, err := l.View()
	require.Nil(t, err)
	there.refuses = protocol.Errorf(protocol.CodeNoLeader, "out of touch")
	_, err = l.View()
	require.Equal(t, protocol.CodeNoLeader, err.Code)
	for _, lost := range []error{
		protocol.Errorf(protocol.CodeNodeUnreachable, "not sent"), protocol.Unknownf("no answer"),
	} {
		gateway.lost = lost
		_, err = l.View()
		require.Equal(t, protocol.ErrNotLeader, err, "a read that was lost may be put to the next leader")
		_, rerr := v.Read(nil, 0, 1, 10)
		require.ErrorIs(t, rerr, protocol.ErrNotLeader)
		require.ErrorIs(t, rerr, logfile.ErrStale, "nothing is wrong with the log: a new view is asked for")
		_, rerr = v.OffsetForTime(1)
		require.ErrorIs(t, rerr, logfile.ErrStale)
	}
}

// What did not arrive is refused as by one that does not lead; what may have arrived is
// unknown.
func TestOutcomesOfWhatIsLost(t *testing.T) {
	gateway, l, there := conversation(t)
	produce := func() protocol.ProduceResult {
		req := &protocol.ProduceRequest{Partition: 3, Reply: protocol.NewFuture[protocol.ProduceResult](), Deadline: time.Now().Add(time.Minute)}
		req.Lines.Add(1, "q", 3, []byte("1"), []byte("2"), protocol.ActionProduce, nil)
		l.Produce(req)
		res, ok := req.Reply.Wait(time.Now())
		require.True(t, ok)
		return res
	}
	ask := func() *protocol.Error {
		q := &routing.ListProducers{Reply: protocol.NewFuture[routing.ProducerList]()}
		l.Ask(q)
		a, ok := q.Reply.Wait(time.Now())
		require.True(t, ok)
		return a.Err
	}
	require.EqualValues(t, 41, produce().BaseOffset)
	require.Equal(t, 1, there.produced[0].Lines.Len())
	gateway.lost = protocol.Errorf(protocol.CodeNodeUnreachable, "not sent")
	require.Equal(t, protocol.ErrNotLeader, produce().Err)
	require.Equal(t, protocol.ErrNotLeader, ask())
	gateway.lost = protocol.Unknownf("no answer")
	require.Equal(t, protocol.OutcomeUnknown, produce().Err.Outcome)
	require.Equal(t, protocol.OutcomeUnknown, ask().Outcome)
	require.Len(t, there.produced, 1)

	gateway.lost = nil
	elsewhere := gateway.Leader(2, wire.Partition{Cluster: "c", PartitionID: protocol.PartitionID{TopicID: "t", Partition: 4}}, 1, 1)
	_, err := elsewhere.View()
	require.Equal(t, protocol.CodeNoLeader, err.Code, "it does not lead there")
}

func TestQuestionsThatDoNotTravelAreRefused(t *testing.T) {
	_, l, there := conversation(t)
	q := &homely{reply: protocol.NewFuture[*protocol.Error]()}
	l.Ask(q)
	err, ok := q.reply.Wait(time.Now())
	require.True(t, ok)
	require.Equal(t, protocol.ErrNotLeader, err)
	require.Empty(t, there.asked)
}

type homely struct {
	reply protocol.Future[*protocol.Error]
}

func (q *homely) Refuse(err *protocol.Error) { q.reply.Put(err) }

func TestWaitersAreWokenFromElsewhere(t *testing.T) {
	gateway, l, there := conversation(t)
	woken := 0
	w := protocol.NewWaiter(func() { woken++ })
	wakeAll := func() {
		for proxy := range there.waiters {
			delete(there.waiters, proxy)
			proxy.Wake()
		}
	}
	l.Register(w, 5)
	require.Len(t, there.waiters, 1)
	for _, offset := range there.waiters {
		require.EqualValues(t, 5, offset)
	}
	l.Register(w, 6)
	require.Len(t, there.waiters, 1, "a later registration replaces the earlier one")
	wakeAll()
	require.Equal(t, 1, woken)
	l.Register(w, 6)
	l.Unregister(w)
	require.Empty(t, there.waiters)
	l.Unregister(w)

	gateway.drops = true
	l.Register(w, 6)
	require.Equal(t, 2, woken, "who cannot be parked looks again")
	gateway.drops = false
	l.Unregister(w)

	l.Register(w, 6)
	gateway.other.Down(1)
	require.Empty(t, there.waiters, "the gateway is gone, nobody listens")
	l.Withdraw()
	require.Equal(t, 3, woken, "the leader is gone")
	l.Register(w, 6)
	require.Equal(t, 4, woken)
	require.Empty(t, gateway.waiters)
	require.Empty(t, gateway.other.parked)

	elsewhere := gateway.Leader(2, wire.Partition{Cluster: "none"}, 1, 1)
	elsewhere.Register(w, 0)
	require.Equal(t, 5, woken, "it does not lead there")
	require.Empty(t, gateway.waiters)
}

func TestPollsAreSignalledFromElsewhere(t *testing.T) {
	gateway, l, there := conversation(t)
	woken := 0
	h := &routing.PollHandle{Waiter: protocol.NewWaiter(func() { woken++ })}
	l.Ask(&routing.GroupRequest{Group: "g", Msg: &routing.GroupPoll{Handle: h, Reply: protocol.NewFuture[routing.GroupShare]()}})
	l.Ask(&routing.GroupRequest{Group: "g", Msg: &routing.GroupDelivered{Handle: h, Reply: protocol.NewFuture[routing.GroupCursor]()}})
	require.Len(t, there.asked, 2)
	first := there.asked[0].(*routing.GroupRequest).Msg.(*routing.GroupPoll).Handle
	second := there.asked[1].(*routing.GroupRequest).Msg.(*routing.GroupDelivered).Handle
	require.True(t, first.Same(second))
	first.Tell(routing.PollSuperseded)
	require.Equal(t, routing.PollSuperseded, h.Signal())
	require.Equal(t, 1, woken)
	h.End()
	require.Empty(t, gateway.polls)
	first.Tell(routing.PollSuperseded) // nobody is there any more
	require.Equal(t, 1, woken)
}

func TestWhatCannotBeUnderstood(t *testing.T) {
	gateway, _, _ := conversation(t)
	answered := func([]byte, error) { require.Fail(t, "answered") }
	for _, kind := range []uint16{wire.Produce, wire.Ask, wire.View, wire.Read, wire.SeekTime, 999} {
		require.Error(t, gateway.Leaders.Call(2, kind, []byte{0xff}, time.Second, answered), "kind %d", kind)
	}
	for _, kind := range []uint16{wire.Park, wire.Unpark, wire.Wake, wire.PollSignal, 999} {
		require.Error(t, gateway.Message(2, kind, []byte{0xff}), "kind %d", kind)
	}
}

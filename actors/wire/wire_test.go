package wire

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

var somePartition = Partition{Cluster: "c1", PartitionID: protocol.PartitionID{TopicID: "t1", Partition: 7}}

// asked sends a question through its wire form and has answer answer it there.
func asked(t *testing.T, q routing.Question, answer func(routing.Question)) {
	t.Helper()
	b, ok := EncodeQuestion(somePartition, q)
	require.True(t, ok)
	p, got, err := DecodeQuestion(b, 3, func(body []byte, err error) {
		var e *protocol.Error
		if errors.As(err, &e) {
			q.Refuse(e)
			return
		}
		Answer(q, body)
	}, func(uint64, routing.PollSignal) {})
	require.NoError(t, err)
	require.Equal(t, somePartition, p)
	answer(got)
}

func come[T any](t *testing.T, slot protocol.Future[T]) T {
	t.Helper()
	v, ok := slot.Wait(time.Now())
	require.True(t, ok, "no answer")
	return v
}

func TestQuestionsAndAnswersTravel(t *testing.T) {
	at, gen := protocol.Offset(5), protocol.Generation(3)
	offsets := []group.PartitionOffset{{Topic: "q", TopicID: "t1", Partition: 2, Offset: 9, Metadata: "m", At: 4}}
	key := protocol.PartitionID{TopicID: "t1", Partition: 2}

	poll := &routing.GroupPoll{
		Consumer: 7, Topics: []group.SubscribedTopic{{Name: "q", ID: "t1", Partitions: 3}}, SessionMs: 10, WaitMs: 20,
		Ahead: &routing.GroupAhead{Ahead: group.Ahead{Generation: 3, Positions: offsets, From: []protocol.Offset{5}, Commit: true}, Token: 1 << 63, Again: true},
		Ack:   "a", After: "b", Continue: true, Number: 6, Handle: &routing.PollHandle{ID: 12}, Reply: protocol.NewFuture[routing.GroupShare](),
	}
	share := routing.GroupShare{
		Generation: 3, Number: 8, Assigned: []group.AssignedPartition{{Topic: "q", TopicID: "t1", Partition: 2, Committed: &at}, {Topic: "q", TopicID: "t1"}},
		After:  []group.CursorPosition{{TopicID: "t1", Partition: 2, Offset: 5}},
		Cursor: &group.Cursor{ClusterID: "c", Group: "g", Generation: 3, Positions: []group.CursorPosition{{TopicID: "t1", Offset: 5}}},
	}
	asked(t, &routing.GroupRequest{Group: "g", Msg: poll}, func(q routing.Question) {
		got := q.(*routing.GroupRequest)
		require.Equal(t, "g", got.Group)
		m := got.Msg.(*routing.GroupPoll)
		assert.Equal(t, poll.Topics, m.Topics)
		assert.Equal(t, [6]any{poll.Consumer, poll.SessionMs, poll.WaitMs, poll.Ack, poll.After, poll.Number},
			[6]any{m.Consumer, m.SessionMs, m.WaitMs, m.Ack, m.After, m.Number})
		assert.True(t, m.Continue)
		assert.Equal(t, poll.Ahead, m.Ahead)
		assert.Equal(t, [2]uint64{3, 12}, [2]uint64{m.Handle.Node, m.Handle.ID})
		m.Reply.Put(share)
		m.Reply.Put(routing.GroupShare{}) // the first counts
	})
	assert.Equal(t, share, come(t, poll.Reply))

	commit := &routing.GroupCommit{Consumer: 1, TopicID: "t1", Offsets: offsets, Generation: &gen, Force: true, Reply: protocol.NewFuture[routing.GroupOffsets]()}
	asked(t, &routing.GroupRequest{Group: "g", Msg: commit}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupCommit)
		assert.Equal(t, offsets, m.Offsets)
		assert.Equal(t, &gen, m.Generation)
		assert.True(t, m.Force)
		m.Reply.Put(routing.GroupOffsets{Offsets: offsets, Moved: offsets})
	})
	assert.Equal(t, routing.GroupOffsets{Offsets: offsets, Moved: offsets}, come(t, commit.Reply))

	read := &routing.GroupRead{AsKnown: true, Reply: protocol.NewFuture[routing.GroupReading]()}
	reading := routing.GroupReading{
		Info:    protocol.GroupInfo{Group: "g", State: "stable", Members: []protocol.MemberInfo{{ConsumerID: 1, LeaseExpiresAt: time.UnixMilli(1_700_000_000_123).UTC()}}, CreatedAt: time.UnixMilli(5).UTC()},
		Offsets: offsets, Owners: map[protocol.PartitionID]protocol.ConsumerID{key: 4},
		Positions: map[protocol.PartitionID]protocol.Offset{key: 9}, Topics: map[string]string{"t1": "q"},
	}
	asked(t, &routing.GroupRequest{Group: "g", Msg: read}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupRead)
		assert.True(t, m.AsKnown)
		m.Reply.Put(reading)
	})
	assert.Equal(t, reading, come(t, read.Reply))

	delivered := &routing.GroupDelivered{Consumer: 2, Generation: 3, Positions: offsets, From: []protocol.Offset{4}, Commit: true, Stay: true, Number: 9, Handle: &routing.PollHandle{}, Reply: protocol.NewFuture[routing.GroupCursor]()}
	cursor := &group.Cursor{ClusterID: "c", Group: "g", Generation: 3, Positions: []group.CursorPosition{{TopicID: "t1", Offset: 5}}}
	asked(t, &routing.GroupRequest{Group: "g", Msg: delivered}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupDelivered)
		assert.Equal(t, offsets, m.Positions)
		assert.Equal(t, delivered.From, m.From)
		assert.True(t, m.Commit && m.Stay)
		m.Reply.Put(routing.GroupCursor{Cursor: cursor})
	})
	assert.Equal(t, cursor, come(t, delivered.Reply).Cursor)

	change := &routing.GroupChange{Leave: 4, Reply: protocol.NewFuture[*protocol.Error]()}
	asked(t, &routing.GroupRequest{Group: "g", Msg: change}, func(q routing.Question) {
		m := q.(*routing.GroupRequest).Msg.(*routing.GroupChange)
		assert.Equal(t, protocol.ConsumerID(4), m.Leave)
		m.Reply.Put(nil)
	})
	assert.Nil(t, come(t, change.Reply))

	lines := &protocol.Lines{}
	lines.Add(1, "x", 0, []byte("1"), []byte("2"), "A", nil)
	meta := &routing.ChangeMetadata{Lines: lines, At: 17, Reply: protocol.NewFuture[protocol.ProduceResult]()}
	asked(t, meta, func(q routing.Question) {
		m := q.(*routing.ChangeMetadata)
		assert.Equal(t, recordsOf(lines), m.Lines)
		assert.EqualValues(t, 17, m.At)
		m.Reply.Put(protocol.ProduceResult{BaseOffset: 17})
	})
	assert.EqualValues(t, 17, come(t, meta.Reply).BaseOffset)

	describe := &routing.DescribePartition{Reply: protocol.NewFuture[routing.PartitionState]()}
	asked(t, describe, func(q routing.Question) {
		q.(*routing.DescribePartition).Reply.Put(routing.PartitionState{Replica: 2, InSync: []int{1}, Settled: true, Earliest: 3, Latest: 9})
	})
	assert.Equal(t, routing.PartitionState{Replica: 2, InSync: []int{1}, Settled: true, Earliest: 3, Latest: 9}, come(t, describe.Reply))
}

func TestARefusalTravels(t *testing.T) {
	q := &routing.ListProducers{Reply: protocol.NewFuture[routing.ProducerList]()}
	asked(t, q, func(q routing.Question) { q.Refuse(protocol.ErrNotLeader) })
	assert.Equal(t, protocol.ErrNotLeader, come(t, q.Reply).Err)
}

func TestPollSignalsTravel(t *testing.T) {
	b, ok := EncodeQuestion(somePartition, &routing.GroupRequest{Group: "g", Msg: &routing.GroupPoll{Handle: &routing.PollHandle{ID: 5}}})
	require.True(t, ok)
	var told []routing.PollSignal
	_, q, err := DecodeQuestion(b, 2, func([]byte, error) {}, func(id uint64, s routing.PollSignal) {
		require.EqualValues(t, 5, id)
		told = append(told, s)
	})
	require.NoError(t, err)
	h := q.(*routing.GroupRequest).Msg.(*routing.GroupPoll).Handle
	h.Tell(routing.PollRebalanced)
	h.Tell(routing.PollSuperseded)
	assert.Equal(t, []routing.PollSignal{routing.PollRebalanced, routing.PollSuperseded}, told)
	assert.True(t, h.Same(&routing.PollHandle{Node: 2, ID: 5}))
	assert.False(t, h.Same(&routing.PollHandle{Node: 3, ID: 5}))
}

// recordsOf is what travels of lines: their records, not what helps to add more.
func recordsOf(l *protocol.Lines) *protocol.Lines { return &protocol.Lines{Buf: l.Buf, Gaps: l.Gaps} }

func TestProduceTravels(t *testing.T) {
	req := &protocol.ProduceRequest{NoAck: true, ProducerID: "p", Epoch: -1, Sequence: 4, BodyHash: 1 << 63}
	req.Lines.Add(1_700_000_000_000, "q", 7, []byte("1"), []byte(`"v"`), protocol.ActionProduce, nil)
	req.Lines.Add(1_700_000_000_001, "q", 7, []byte("2"), []byte(`"w"`), protocol.ActionProduce, []byte(`{"h":"1"}`))
	b := append(ProduceHead(somePartition, req), req.Lines.Buf...)
	p, got, err := DecodeProduce(b, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, somePartition, p)
	assert.WithinDuration(t, time.Now().Add(time.Minute), got.Deadline, time.Second)
	got.Deadline, got.Partition = time.Time{}, 0
	req.Lines = *recordsOf(&req.Lines)
	assert.Equal(t, req, got)
	for n := range b {
		if _, _, err := DecodeProduce(b[:n], 0); err == nil {
			t.Fatalf("the first %d of %d bytes pass for a request", n, len(b))
		}
	}
	res := protocol.ProduceResult{BaseOffset: 12, Duplicate: true, Timestamp: 9}
	back, err := DecodeProduced(EncodeProduced(&res))
	require.NoError(t, err)
	assert.Equal(t, res, back)
}

func TestReadsTravel(t *testing.T) {
	q := ReadQuestion{Partition: somePartition, Offset: 5, MaxRecords: 10, MaxBytes: 100, HighWatermark: 50}
	got, err := DecodeRead(EncodeRead(&q))
	require.NoError(t, err)
	assert.Equal(t, q, got)

	rec := logfile.Record{Offset: 3, Timestamp: 8, Key: []byte("1"), Value: []byte("2"), Headers: []byte("{}"), Action: []byte("A")}
	b := AppendRecord(ReadEnd(nil), &rec)
	count := 0
	require.NoError(t, EachRecord(b, func(r *logfile.Record) { count++; assert.Equal(t, rec, *r) }))
	assert.Equal(t, 1, count)
	require.ErrorIs(t, EachRecord(ReadEnd(logfile.ErrBelowStart), nil), logfile.ErrBelowStart)
	require.ErrorIs(t, EachRecord(ReadEnd(logfile.ErrStale), nil), logfile.ErrStale)
	require.EqualError(t, EachRecord(ReadEnd(errors.New("boom")), nil), "boom")
}

func FuzzDecode(f *testing.F) {
	q, _ := EncodeQuestion(somePartition, &routing.ListGroups{Consumer: 3})
	f.Add(q)
	f.Add(ProduceHead(somePartition, &protocol.ProduceRequest{}))
	f.Add(EncodeRead(&ReadQuestion{Partition: somePartition}))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, _ = DecodeQuestion(b, 1, func([]byte, error) {}, func(uint64, routing.PollSignal) {})
		_, _, _ = DecodeProduce(b, 0)
		_, _ = DecodeProduced(b)
		_, _ = DecodeRead(b)
		_ = EachRecord(b, func(*logfile.Record) {})
	})
}

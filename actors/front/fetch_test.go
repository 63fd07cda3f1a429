package front

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// textSink keeps the records of an answer.
type textSink struct{ records []string }

func (s *textSink) Expect(int) {}
func (s *textSink) Forget()    { s.records = nil }
func (s *textSink) Take(r *protocol.Record) {
	s.records = append(s.records, strings.Join([]string{r.Topic, string(r.Key), string(r.Value), string(r.Headers)}, " "))
}

// testFetch is a read without a group that waits.
type testFetch struct {
	*fetch
	t     *testing.T
	sink  *textSink
	woken chan struct{}
}

func (w *world) parkedFetch(q *protocol.Topic, offset protocol.Offset, maxRecords, maxBytes int) *testFetch {
	w.t.Helper()
	f := &testFetch{t: w.t, sink: &textSink{}}
	f.fetch = w.StartFetch(&protocol.FetchRequest{
		Topic: q, Offset: offset, MaxRecords: maxRecords, MaxBytes: maxBytes, Timeout: time.Hour, Sink: f.sink,
	}).(*fetch)
	f.advanceToWait()
	return f
}

// advanceToWait takes a step that brings nothing, and parks.
func (f *testFetch) advanceToWait() {
	f.t.Helper()
	_, waits, err := f.Advance()
	require.Nil(f.t, err)
	require.True(f.t, waits)
	woken := make(chan struct{})
	f.woken = woken
	f.Park(func() { close(woken) })
}

func (f *testFetch) resumed() {
	f.t.Helper()
	select {
	case <-f.woken:
	case <-time.After(patience):
		f.t.Fatal("it still waits")
	}
}

// answered is what it brings once it is woken.
func (f *testFetch) answered() *protocol.FetchReply {
	f.t.Helper()
	f.resumed()
	reply, waits, err := f.Advance()
	require.Nil(f.t, err)
	require.False(f.t, waits)
	return reply
}

func TestFetchReads(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2", "3")
	leaders[0].startAt(1)
	for name, c := range map[string]struct {
		change func(*protocol.FetchRequest)
		values []string
		next   protocol.Offset
		want   *protocol.Code
	}{
		"from an offset":       {func(r *protocol.FetchRequest) { r.Offset = 1 }, []string{"2", "3"}, 3, nil},
		"so many records":      {func(r *protocol.FetchRequest) { r.Offset, r.MaxRecords = 1, 1 }, []string{"2"}, 2, nil},
		"from a time":          {func(r *protocol.FetchRequest) { r.Timestamp = ptr(int64(1700000000002)) }, []string{"3"}, 3, nil},
		"from before the logs": {func(r *protocol.FetchRequest) { r.Timestamp = ptr(int64(0)) }, []string{"2", "3"}, 3, nil},
		"at the end":           {func(r *protocol.FetchRequest) { r.Offset = 3 }, []string{}, 3, nil},
		"beyond the end":       {func(r *protocol.FetchRequest) { r.Offset = 9 }, []string{}, 9, nil},
		"below the log start":  {func(r *protocol.FetchRequest) { r.Offset = 0 }, nil, 0, &protocol.CodeOffsetOutOfRange},
		"no such partition":    {func(r *protocol.FetchRequest) { r.Partition = 1 }, nil, 0, &protocol.CodePartitionNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			req := &protocol.FetchRequest{Topic: q, MaxRecords: 10, MaxBytes: 1 << 20}
			c.change(req)
			reply, err := w.Fetch(req)
			if c.want != nil {
				requireCode(t, *c.want, err)
				return
			}
			require.Nil(t, err)
			assert.Equal(t, c.values, values(reply.Records))
			assert.Equal(t, c.next, reply.NextOffset)
			assert.Equal(t, protocol.Offset(1), reply.Earliest)
			assert.Equal(t, protocol.Offset(3), reply.HighWatermark)
		})
	}
}

func TestFetchWaits(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(w *world, f *testFetch, l *fakeLeader)
		records int
	}{
		"for a record":         {func(_ *world, _ *testFetch, l *fakeLeader) { l.append("1") }, 1},
		"until time is over":   {func(_ *world, f *testFetch, _ *fakeLeader) { f.deadline = time.Now(); f.Nudge() }, 0},
		"until the node stops": {func(w *world, _ *testFetch, _ *fakeLeader) { close(w.stop) }, 0},
		"until its client leaves": {func(_ *world, f *testFetch, _ *fakeLeader) {
			left := make(chan struct{})
			close(left)
			f.req.Left = left
			f.Nudge()
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			f := w.parkedFetch(q, 0, 10, 1000)
			assert.Equal(t, 1, leaders[0].registered())
			c.happens(w, f, leaders[0])
			f.answered()
			assert.Len(t, f.sink.records, c.records)
			assert.Zero(t, leaders[0].registered())
			assert.Empty(t, w.shared.parked.all)
		})
	}
}

// A nudge that does not concern it leaves a read where it is registered, and
// the end of its leader has it register at the next one.
func TestFetchStaysAndMoves(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	f := w.parkedFetch(q, 0, 10, 1000)
	f.Nudge()
	f.resumed()
	f.advanceToWait()
	assert.Equal(t, 1, leaders[0].registered())
	next := w.lead(q, 0)
	leaders[0].wakeAll()
	f.resumed()
	f.advanceToWait()
	assert.Zero(t, leaders[0].registered())
	assert.Equal(t, 1, next.registered())
	next.append("1")
	f.answered()
	assert.Len(t, f.sink.records, 1)
}

// Damage ends a leader, and its successor has the bytes: a read waits for it.
// Without a successor the damage is the answer, never "empty".
func TestFetchOfDamagedBytes(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1")
	var damaged atomic.Bool
	damaged.Store(true)
	w.disk.Fault = func(op faultfs.Op) error {
		if op.Kind == "read" && damaged.Load() {
			return assert.AnError
		}
		return nil
	}
	_, err := w.Fetch(&protocol.FetchRequest{Topic: q, MaxRecords: 10, MaxBytes: 1000})
	requireCode(t, protocol.CodeStorageFailed, err)
	next := w.replica(q, 0)
	next.append("1")
	time.AfterFunc(20*time.Millisecond, func() {
		damaged.Store(false)
		next.route.Set(next.Leadership)
	})
	reply, err := w.Fetch(&protocol.FetchRequest{Topic: q, MaxRecords: 10, MaxBytes: 1000})
	require.Nil(t, err)
	assert.Equal(t, []string{"1"}, values(reply.Records))
}

// Compaction and retention remove files under a read. It takes the newest
// view, a few times.
func TestStaleViewIsTakenAnew(t *testing.T) {
	w := newWorld(t)
	q, _ := w.withTopic("q", 1)
	for tries, want := range map[int]*protocol.Error{0: nil, 3: nil, 100: errStaleView} {
		left := tries
		err := w.withView(q, 0, func(routing.LogView, *routing.Leadership) *protocol.Error {
			if left--; left < 0 {
				return nil
			}
			return errStaleView
		})
		assert.Equal(t, want, err, "stale %d times", tries)
	}
}

func TestPartitionOffsets(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2", "3")
	leaders[0].startAt(1)
	earliest, latest, err := w.PartitionOffsets(q, 0)
	require.Nil(t, err)
	assert.Equal(t, protocol.Offset(1), earliest)
	assert.Equal(t, protocol.Offset(3), latest)
	_, _, err = w.PartitionOffsets(q, -1)
	requireCode(t, protocol.CodePartitionNotFound, err)
	w.replicas.running.Store(0)
	leaders[0].resign()
	_, _, err = w.PartitionOffsets(q, 0)
	requireCode(t, protocol.CodeNotEnoughReplicas, err)
}

// A read that is to be near asks no leader at another node, and waits for nobody where
// there is none.
func TestNearReadsAskNoOtherNode(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 1)
	leaders[0].append("1", "2")
	asked := 0
	leaders[0].silent = func() *protocol.Error {
		asked++
		return protocol.ErrNotLeader
	}
	near := func() *protocol.Error {
		reply, waits, err := w.StartFetch(&protocol.FetchRequest{Topic: q, MaxRecords: 10, MaxBytes: 1000, Near: true}).Advance()
		assert.False(t, waits)
		if err == nil {
			assert.Equal(t, []string{"1", "2"}, values(reply.Records))
		}
		return err
	}
	leaders[0].Away = true
	assert.Same(t, protocol.ErrAway, near())
	assert.Zero(t, asked)
	leaders[0].Away = false
	begun := time.Now()
	requireCode(t, protocol.CodeNoLeader, near())
	assert.Equal(t, 1, asked)
	leaders[0].silent = nil
	require.Nil(t, near())
	leaders[0].resign()
	assert.NotNil(t, near())
	assert.Less(t, time.Since(begun), routing.FailoverPatience)
}

package front_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors"
	"ottla/actors/front"
	"ottla/protocol"
)

// textSink keeps the records of an answer.
type textSink struct{ records []string }

func (s *textSink) Expect(int) {}
func (s *textSink) Forget()    { s.records = nil }
func (s *textSink) Take(r *protocol.Record) {
	s.records = append(s.records, strings.Join([]string{r.Topic, string(r.Key), string(r.Value), string(r.Headers)}, " "))
}

// parkedRead is a read without a group that waits.
type parkedRead struct {
	t     *testing.T
	s     protocol.PendingFetch
	sink  *textSink
	woken chan struct{}
}

func parkRead(t *testing.T, n *actors.Node, tp *protocol.Topic, offset protocol.Offset, maxRecords, maxBytes int) *parkedRead {
	t.Helper()
	r := &parkedRead{t: t, sink: &textSink{}, woken: make(chan struct{})}
	r.s = n.StartFetch(&protocol.FetchRequest{
		Topic: tp, Offset: offset, MaxRecords: maxRecords, MaxBytes: maxBytes, Timeout: time.Hour, Sink: r.sink,
	})
	_, waits, err := r.s.Advance()
	require.Nil(t, err)
	require.True(t, waits)
	r.s.Park(func() { close(r.woken) })
	return r
}

// Answer is what it brings once it is woken.
func (r *parkedRead) answer() (next protocol.Offset, records []string) {
	r.t.Helper()
	select {
	case <-r.woken:
	case <-time.After(20 * time.Second):
		r.t.Fatal("it still waits")
	}
	reply, waits, err := r.s.Advance()
	require.Nil(r.t, err)
	require.False(r.t, waits)
	return reply.NextOffset, r.sink.records
}

// Those who wait for the same records get all the same of them, within their
// own bounds.
func TestTailIsSharedByThoseWhoWait(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	tp, perr := n.LookupTopic("", "q", false, time.Time{})
	require.Nil(t, perr)
	for round := range protocol.Offset(3) {
		var all []*parkedRead
		for range 3 {
			all = append(all, parkRead(t, n, tp, 3*round, 100, 1<<20))
		}
		one, small := parkRead(t, n, tp, 3*round, 1, 1<<20), parkRead(t, n, tp, 3*round, 100, 1)
		value := string(rune('a' + round))
		produce(t, n, "q", 0, `"`+value+`0"`, `"`+value+`1"`, `"`+value+`2"`)
		want := []string{`q "k0" "` + value + `0" `, `q "k1" "` + value + `1" `, `q "k2" "` + value + `2" `}
		for _, r := range all {
			next, records := r.answer()
			assert.Equal(t, 3*round+3, next)
			assert.Equal(t, want, records)
			from, _, ok := front.Tail(r.s)
			assert.True(t, ok)
			assert.Equal(t, int64(3*round), from)
		}
		for _, r := range []*parkedRead{one, small} {
			next, records := r.answer()
			assert.Equal(t, 3*round+1, next)
			assert.Equal(t, want[:1], records)
		}
	}
}

// What is too large to be kept is read by each for itself.
func TestLargeTailIsNotKept(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	tp, perr := n.LookupTopic("", "q", false, time.Time{})
	require.Nil(t, perr)
	a, b := parkRead(t, n, tp, 0, 100, 1<<20), parkRead(t, n, tp, 0, 100, 1<<20)
	large := `"` + strings.Repeat("x", 2*front.MaxTailBytes) + `"`
	produce(t, n, "q", 0, large)
	for _, r := range []*parkedRead{a, b} {
		next, records := r.answer()
		assert.Equal(t, protocol.Offset(1), next)
		assert.Equal(t, []string{`q "k0" ` + large + ` `}, records)
	}
	for _, r := range []*parkedRead{a, b} {
		_, records, ok := front.Tail(r.s)
		assert.True(t, ok)
		assert.Zero(t, records)
	}
}

// A tail is of the records up to one high watermark, and of those from one
// offset on: nobody else is given it.
func TestTailIsNotForOthers(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	tp, perr := n.LookupTopic("", "q", false, time.Time{})
	require.Nil(t, perr)
	read := func(offset int64) []string {
		v, ref, perr := n.ViewOf(tp, 0)
		require.Nil(t, perr)
		first, second := &textSink{}, &textSink{}
		count, perr := front.ReadTail(first, ref, v, "q", offset)
		require.Nil(t, perr)
		assert.Len(t, first.records, count)
		memo := ref.Memo.Load()
		_, perr = front.ReadTail(second, ref, v, "q", offset)
		require.Nil(t, perr)
		assert.Equal(t, first.records, second.records)
		assert.Same(t, memo, ref.Memo.Load(), "the log is read once")
		return first.records
	}
	produce(t, n, "q", 0, `"a"`)
	assert.Equal(t, []string{`q "k0" "a" `}, read(0))
	produce(t, n, "q", 0, `"b"`)
	assert.Equal(t, []string{`q "k0" "a" `, `q "k0" "b" `}, read(0))
	assert.Equal(t, []string{`q "k0" "b" `}, read(1))
	assert.Equal(t, []string{`q "k0" "a" `, `q "k0" "b" `}, read(0))
	assert.Empty(t, read(2))
}

package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A read that waits ends when its client leaves or the process ends, and a
// record ends it with that record.
func TestFetchWaitsForWhateverIsFirst(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	tp, perr := n.LookupTopic("", "q", false, time.Time{})
	require.Nil(t, perr)
	for name, c := range map[string]struct {
		happens func(left, done chan struct{})
		records int
	}{
		"the client leaves": {func(left, _ chan struct{}) { close(left) }, 0},
		"the process ends":  {func(_, done chan struct{}) { close(done) }, 0},
		"a record":          {func(_, _ chan struct{}) { produce(t, n, "q", 0, `"x"`) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			left, done := make(chan struct{}), make(chan struct{})
			_, latest, perr := n.PartitionOffsets(tp, 0)
			require.Nil(t, perr)
			s := n.StartFetch(&protocol.FetchRequest{
				Topic: tp, Offset: latest, MaxRecords: 10, MaxBytes: 1000, Timeout: time.Hour, Left: left, Done: done,
			})
			_, waits, perr := s.Advance()
			require.Nil(t, perr)
			require.True(t, waits)
			waited := make(chan struct{})
			s.Park(func() { close(waited) })
			c.happens(left, done)
			s.Nudge()
			select {
			case <-waited:
			case <-time.After(patience):
				t.Fatal("it still waits")
			}
			reply, waits, perr := s.Advance()
			require.Nil(t, perr)
			assert.False(t, waits)
			assert.Len(t, reply.Records, c.records)
		})
	}
}

// Who leaves while the coordinator is slow gets nothing committed that nobody
// will read.
func TestNothingIsDeliveredToWhoLeftMeanwhile(t *testing.T) {
	dir := t.TempDir()
	held := &hangingSync{hangs: make(chan struct{}, 1000)}
	n := startNode(t, dir, func(o *Options) { o.beforeSync = held.before })
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	produce(t, n, "q", 0, `"x"`)
	poll := func(gone bool) *protocol.PollReply {
		reply, perr := n.Poll(&protocol.PollRequest{
			Topics: []string{"q"}, ConsumerID: 7, MaxRecords: 10, MaxBytes: 1000, Timeout: 9 * time.Second,
			SessionTimeout: 9 * time.Second, AutoCommit: true, Gone: func() bool { return gone },
		}, nil)
		require.Nil(t, perr)
		return reply
	}
	goOn := make(chan struct{})
	held.hang(goOn)
	first := make(chan *protocol.PollReply)
	go func() { first <- poll(true) }()
	<-held.hangs
	select {
	case <-first:
		t.Fatal("nothing of the group is on disk")
	case <-time.After(500 * time.Millisecond):
	}
	held.hang(nil)
	close(goOn)
	assert.Empty(t, (<-first).Records)
	assert.Len(t, poll(false).Records, 1, "it is still there for who comes back")
}

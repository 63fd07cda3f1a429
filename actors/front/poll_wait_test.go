package front_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/front"
	"ottla/actors/routing"
	"ottla/protocol"
)

// A group may call a poll between its answer and the moment at which the poll
// takes it: that wake is used up by the answer. The poll must not park then.
func TestPollHearsTheCallThatCameWithItsShare(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	s := n.StartPoll(&protocol.PollRequest{
		Topics: []string{"q"}, ConsumerID: 7, Group: "g", MaxRecords: 10, MaxBytes: 1000, Timeout: 30 * time.Second,
		SessionTimeout: 30 * time.Second, AutoCommit: true,
	}, nil)
	parks := func() bool {
		resumed := make(chan struct{})
		s.Park(func() { close(resumed) })
		select {
		case <-resumed:
			return false
		case <-time.After(patience):
			return true
		}
	}
	for {
		_, waits, err := s.Advance()
		require.Nil(t, err)
		require.True(t, waits)
		if !front.Asks(s) {
			break
		}
		require.False(t, parks(), "the group answers")
	}
	front.HandleOf(s).Tell(routing.PollRebalanced)
	front.UseWake(s) // as by the answer to the question
	require.False(t, parks(), "it is not told a second time")
	front.HandleOf(s).Tell(routing.PollSuperseded)
	for {
		_, waits, err := s.Advance()
		require.Nil(t, err)
		if !waits {
			break
		}
		front.HandleOf(s).Tell(routing.PollSuperseded)
		require.False(t, parks())
	}
}

// advanceAll carries a poll on until it has its answer.
func advanceAll(t *testing.T, s protocol.PendingPoll) (*protocol.PollReply, *protocol.Error) {
	t.Helper()
	for {
		reply, waits, err := s.Advance()
		if !waits {
			return reply, err
		}
		resumed := make(chan struct{})
		s.Park(func() { close(resumed) })
		<-resumed
	}
}

// A topic may be deleted after it was looked up and before its group is asked.
func TestATopicThatIsDeletedBeforeTheGroupIsAsked(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	s := n.StartPoll(&protocol.PollRequest{
		Topics: []string{"q"}, ConsumerID: 7, Group: "g", MaxRecords: 10, MaxBytes: 1000, Timeout: 30 * time.Second,
		SessionTimeout: 30 * time.Second, AutoCommit: true,
	}, nil)
	require.Nil(t, front.Subscribe(s))
	require.Nil(t, n.DeleteTopic(t.Context(), "default", "q"))
	_, err := advanceAll(t, s)
	requireCode(t, protocol.CodeTopicNotFound, err)
}

// Polls of one number are one reader: who has polled since it began is newer
// than any of them, and is not ended by the next one.
func TestPollsOfAStreamEndWithANewerPoll(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	poll := func(number uint64, timeout time.Duration) (*protocol.PollReply, *protocol.Error) {
		return n.Poll(&protocol.PollRequest{
			Topics: []string{"q"}, ConsumerID: 7, Group: "g", MaxRecords: 10, MaxBytes: 1000, Timeout: timeout,
			SessionTimeout: 30 * time.Second, AutoCommit: true, Number: number,
		}, nil)
	}
	first, err := poll(0, 0)
	require.Nil(t, err)
	again, err := poll(first.Number, 0)
	require.Nil(t, err)
	require.False(t, again.Superseded)
	newer, err := poll(0, 0)
	require.Nil(t, err)
	require.Greater(t, newer.Number, first.Number)
	older, err := poll(first.Number, time.Minute)
	require.Nil(t, err)
	require.True(t, older.Superseded)
	newer, err = poll(newer.Number, 0)
	require.Nil(t, err)
	require.False(t, newer.Superseded)
}

// A group that moved while its disk hung is no reason to refuse who named no
// generation: there is nothing to deliver, unless it may have been committed.
func TestAPollThatTookTooLongIsNotStale(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "q", Partitions: ptr(1)})
	produce(t, n, "q", 0, `1`)
	stale := protocol.Errorf(protocol.CodeStaleGeneration, "moved")
	unclear := protocol.Errorf(protocol.CodeStaleGeneration, "moved")
	unclear.Outcome = protocol.OutcomeUnknown
	for i, at := range []struct {
		auto bool
		err  *protocol.Error
		want *protocol.Code
	}{{true, stale, nil}, {false, stale, nil}, {false, unclear, nil}, {true, unclear, &protocol.CodeOutcomeUnknown}} {
		s := n.StartPoll(&protocol.PollRequest{
			Topics: []string{"q"}, ConsumerID: protocol.ConsumerID(i + 1), MaxRecords: 10, MaxBytes: 1000,
			SessionTimeout: 30 * time.Second, AutoCommit: at.auto,
		}, nil)
		reply, err := advanceAll(t, s)
		require.Nil(t, err)
		require.Len(t, reply.Records, 1)
		_, again, _ := front.Delivered(s, at.err)
		require.True(t, again, "it is asked again at first")
		front.Expire(s)
		reply, _, err = front.Delivered(s, at.err)
		if at.want != nil {
			requireCode(t, *at.want, err)
			continue
		}
		require.Nil(t, err)
		require.Empty(t, reply.Records)
		require.Empty(t, reply.Cursor)
	}
}

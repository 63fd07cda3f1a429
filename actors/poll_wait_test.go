package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	}, nil).(*pollSession)
	parks := func() bool {
		resumed := make(chan struct{})
		s.Park(func() { close(resumed) })
		select {
		case <-resumed:
			return false
		case <-time.After(time.Second):
			return true
		}
	}
	for {
		_, waits, err := s.Advance()
		require.Nil(t, err)
		require.True(t, waits)
		if s.question == nil {
			break
		}
		require.False(t, parks(), "the group answers")
	}
	s.handle.tell(pollRebalanced)
	s.woke() // as by the answer to the question
	require.False(t, parks(), "it is not told a second time")
	s.handle.tell(pollSuperseded)
	for {
		_, waits, err := s.Advance()
		require.Nil(t, err)
		if !waits {
			break
		}
		s.handle.tell(pollSuperseded)
		require.False(t, parks())
	}
}

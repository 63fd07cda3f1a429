package front

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A leader that does not know just now whether it has a successor is asked again: what it
// shows a moment later still refuses an offset beyond the end. One that never knows does
// not keep a group from its commits.
func TestCommitsBeyondTheEndAtALeaderOutOfTouch(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("t", 1)
	leaders[0].append("1", "2")
	var silent atomic.Int32
	leaders[0].silent = func() *protocol.Error {
		if silent.Add(-1) < 0 {
			return nil
		}
		return protocol.ErrNotLeader
	}
	commit := func(offset protocol.Offset) *protocol.Error {
		_, _, err := w.commitOffsets(w.cluster, &protocol.CommitRequest{Offsets: []protocol.OffsetCommit{{Topic: "t", Offset: offset}}})
		return err
	}
	for _, times := range []int32{0, 1, 2} {
		silent.Store(times)
		err := commit(3)
		require.NotNil(t, err, "%d times silent", times)
		require.Equal(t, protocol.CodeNotAllowed, err.Code)
		silent.Store(times)
		require.Nil(t, commit(2))
	}
	silent.Store(1 << 30)
	require.Nil(t, commit(3))
}

// Who says which topic is meant does not commit for another of its name.
func TestCommitsOfReplacedTopics(t *testing.T) {
	w := newWorld(t)
	topic, _ := w.withTopic("t", 1)
	commit := func(id string) *protocol.Error {
		_, _, err := w.commitOffsets(w.cluster, &protocol.CommitRequest{Offsets: []protocol.OffsetCommit{{Topic: "t", TopicID: id}}})
		return err
	}
	require.Nil(t, commit(""))
	require.Nil(t, commit(topic.ID))
	err := commit("another")
	require.NotNil(t, err)
	require.Equal(t, protocol.CodeTopicNotFound, err.Code)
}

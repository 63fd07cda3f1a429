package actors

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// testRoom has room for so many bytes.
type testRoom struct {
	has, refuse int // Keep refuses more than refuse, if that is not 0
	took, held  int
}

func (r *testRoom) Take(want int) (int, *protocol.Error) {
	r.took++
	if r.held = min(want, r.has); r.held == 0 {
		return 0, protocol.Errorf(protocol.CodeOverloaded, "no room")
	}
	return r.held, nil
}

func (r *testRoom) Keep(n int) *protocol.Error {
	if r.held = n; r.refuse > 0 && n > r.refuse {
		r.held = 0
		return protocol.Errorf(protocol.CodeOverloaded, "no room for what was read")
	}
	return nil
}

func TestReadsTakeRoomForWhatTheyRead(t *testing.T) {
	n := startNode(t, t.TempDir())
	defer stopNode(t, n)
	createTestTopic(t, n, &protocol.TopicSpec{Name: "a", Partitions: ptr(1)})
	tp, err := n.LookupTopic("", "a", false, time.Time{})
	require.Nil(t, err)
	fetch := func(r *testRoom) (*protocol.FetchReply, *protocol.Error) {
		return n.Fetch(&protocol.FetchRequest{Topic: tp, MaxRecords: 1000, MaxBytes: 1 << 20, Timeout: time.Millisecond, Room: r})
	}
	// auto_commit: what is not answered must not be committed.
	poll := func(r *testRoom) (*protocol.PollReply, *protocol.Error) {
		return n.Poll(&protocol.PollRequest{
			Group: "g", ConsumerID: 1, Topics: []string{"a"}, MaxRecords: 1000, MaxBytes: 1 << 20,
			AutoCommit: true, Timeout: time.Millisecond, Room: r,
		}, nil)
	}
	empty := &testRoom{}
	_, err = fetch(empty)
	require.Nil(t, err)
	_, err = poll(empty)
	require.Nil(t, err)
	assert.Zero(t, empty.took, "no room is taken where there is nothing to read")

	value := `"` + strings.Repeat("x", 1000) + `"`
	for range 50 {
		produce(t, n, "a", 0, value)
	}
	for _, r := range []*testRoom{{}, {has: 1 << 20, refuse: 100}} {
		_, err = fetch(r)
		require.NotNil(t, err)
		assert.Equal(t, protocol.CodeOverloaded, err.Code)
		_, err = poll(r)
		require.NotNil(t, err)
		assert.Equal(t, protocol.CodeOverloaded, err.Code)
		assert.NotEqual(t, protocol.OutcomeApplied, err.Outcome)
		assert.Zero(t, r.held)
	}
	little := &testRoom{has: 10_000}
	read, err := fetch(little)
	require.Nil(t, err)
	assert.Less(t, len(read.Records), 20)
	assert.Positive(t, len(read.Records))
	assert.Greater(t, little.held, 1000*len(read.Records))

	var got []protocol.Offset
	for len(got) < 50 {
		r := &testRoom{has: 1} // one record at least
		if len(got) > 0 {
			r.has = 10_000
		}
		reply, err := poll(r)
		require.Nil(t, err)
		require.NotEmpty(t, reply.Records)
		assert.Less(t, len(reply.Records), 20)
		for _, rec := range reply.Records {
			require.EqualValues(t, len(got), rec.Offset, "nothing is skipped by what was refused or made smaller")
			got = append(got, rec.Offset)
		}
	}
	_, err = poll(little)
	require.Nil(t, err)
	assert.Zero(t, little.held, "nothing was read, nothing is held")
}

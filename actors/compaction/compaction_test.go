package compaction

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/background"
	"ottla/logfile"
)

func TestWhenALeaderMayAsk(t *testing.T) {
	p := Patience{Retry: 300, Serve: 50}
	var s State
	require.True(t, s.MayAsk(1, 4, p))
	s.Asks(1, 4)
	assert.False(t, s.MayAsk(300, 4, p), "it has asked")
	assert.True(t, s.MayAsk(2, 5, p), "that was done")
	assert.True(t, s.MayAsk(301, 4, p), "that was lost")
	s.Serve(&PartsAsked{}, nil, 301, background.NewBudget())
	assert.False(t, s.MayAsk(350, 4, p), "a replica is given the present parts")
	assert.True(t, s.MayAsk(351, 4, p))
}

// A transfer takes each chunk once, asks again for what does not come or comes
// damaged, and gives up when nobody answers.
func TestTransferAsksAgain(t *testing.T) {
	begun := func() *State {
		return &State{fetch: &fetch{
			info: logfile.CompactedInfo{Generation: 3, Start: 10, Next: 30}, from: 7, offset: 10, chunks: make(chan *PartsChunk, 1), cancel: func() {},
		}}
	}
	s := begun()
	of, m := s.Question(2, 100)
	require.EqualValues(t, 7, of)
	require.Equal(t, &PartsAsked{From: 2, Generation: 3, Offset: 10}, m)
	assert.False(t, s.Overdue(100+partsAskTicks-1))
	assert.True(t, s.Overdue(100+partsAskTicks))

	good := &PartsChunk{Generation: 3, Offset: 10, Next: 20, Lines: []byte("x"), Sum: logfile.Checksum([]byte("x"))}
	bad := *good
	bad.Sum++
	require.ErrorIs(t, s.Take(&bad), ErrDamagedChunk)
	require.NoError(t, s.Take(good))
	require.NoError(t, s.Take(good), "the second is not waited for")
	require.Same(t, good, <-s.fetch.chunks)
	require.Empty(t, s.fetch.chunks)
	_, m = s.Question(2, 101)
	require.Nil(t, m, "while it is being written")
	require.True(t, s.Written(&ChunkWritten{s.fetch, 20}))
	_, m = s.Question(2, 102)
	require.EqualValues(t, 20, m.Offset)

	for tick, tries := 102+partsAskTicks, 0; ; tick, tries = tick+partsAskTicks, tries+1 {
		if !s.Overdue(tick) {
			require.Equal(t, partsAskTries, tries)
			break
		}
		s.Question(2, tick)
	}
	require.False(t, s.Busy(0), "given up")

	s = begun()
	lost := s.fetch
	require.ErrorContains(t, s.Take(&PartsChunk{Generation: 3, Offset: 10, Err: "gone"}), "gone")
	require.False(t, s.Fetched(&PartsWritten{fetch: lost}), "what it brings is not wanted any more")
	require.False(t, s.Written(&ChunkWritten{lost, 20}))
}

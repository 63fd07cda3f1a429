package link

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

func sized(kind uint16, size int) outFrame {
	return makeFrame(typeMessage, kind, [][]byte{make([]byte, size-headerSize)})
}

func kinds(frames []outFrame) (kinds []uint16) {
	for _, f := range frames {
		kinds = append(kinds, f.kind)
	}
	return kinds
}

func TestQueue(t *testing.T) {
	q := newQueue(1000)
	require.NoError(t, q.push(sized(1, 5000)), "one that is too large fits into an empty queue")
	assert.Equal(t, errFull, q.push(sized(2, 24)))
	batch, open := q.take(nil, 100)
	assert.True(t, open)
	assert.Equal(t, []uint16{1}, kinds(batch))
	assert.Zero(t, q.waiting())

	for kind := range uint16(4) {
		require.NoError(t, q.push(sized(kind, 250)))
	}
	assert.Equal(t, errFull, q.push(sized(9, 24)))
	q.force(sized(4, 250))
	q.hurry(sized(7, 24))
	batch, _ = q.take(nil, 600)
	assert.Equal(t, []uint16{7, 0, 1}, kinds(batch), "urgent ones first, then as many as fit")
	assert.Equal(t, 750, q.waiting())
	batch, _ = q.take(batch[:0], 1<<20)
	assert.Equal(t, []uint16{2, 3, 4}, kinds(batch))

	for range 2 * maxUrgent {
		q.hurry(sized(7, 24))
	}
	assert.Len(t, q.urgent, maxUrgent)
	require.NoError(t, q.push(sized(1, 24)))
	assert.Equal(t, []uint16{1}, kinds(q.close()))
	assert.Equal(t, errClosed, q.push(sized(1, 24)))
	_, open = q.take(nil, 1)
	assert.False(t, open)
}

func TestQueueWakesItsWriter(t *testing.T) {
	q := newQueue(1000)
	taken := make(chan bool)
	go func() {
		for {
			_, open := q.take(nil, 1000)
			taken <- open
			if !open {
				return
			}
		}
	}()
	require.NoError(t, q.push(sized(1, 24)))
	assert.True(t, <-taken)
	q.hurry(sized(1, 24))
	assert.True(t, <-taken)
	q.close()
	assert.False(t, <-taken)
}

// answers collects what calls are told.
type answers chan error

func (a answers) done(_ []byte, err error) { a <- err }

func (a answers) outcome(t *testing.T) (protocol.Code, protocol.Outcome) {
	t.Helper()
	err := <-a
	var e *protocol.Error
	require.ErrorAs(t, err, &e)
	return e.Code, e.Outcome
}

func TestCallTable(t *testing.T) {
	var table callTable
	got := make(answers, 10)
	c := &call{done: got.done}
	id, err := table.add(c, time.Hour)
	require.NoError(t, err)
	assert.True(t, c.hand())
	table.answer(id+1, nil, nil)
	table.answer(id, nil, nil)
	table.answer(id, nil, nil)
	require.NoError(t, <-got)
	assert.False(t, c.hand(), "it is over")

	queued, handed := &call{done: got.done}, &call{done: got.done}
	_, err = table.add(queued, ms)
	require.NoError(t, err)
	code, outcome := got.outcome(t)
	assert.Equal(t, protocol.CodeNodeUnreachable, code)
	assert.Equal(t, protocol.OutcomeNone, outcome)
	assert.False(t, queued.hand())
	assert.True(t, handed.hand())
	_, err = table.add(handed, ms)
	require.NoError(t, err)
	_, outcome = got.outcome(t)
	assert.Equal(t, protocol.OutcomeUnknown, outcome)
	assert.Zero(t, table.pending())

	table.next = 1<<32 - 2 // numbers go round, and skip those that are taken
	seen := map[uint32]bool{}
	for range 5 {
		id, err := table.add(&call{done: got.done}, time.Hour)
		require.NoError(t, err)
		assert.False(t, seen[id])
		seen[id] = true
	}
	table.close(errEnding)
	for range 5 {
		_, outcome := got.outcome(t)
		assert.Equal(t, protocol.OutcomeNone, outcome)
	}
	_, err = table.add(&call{done: got.done}, time.Hour)
	assert.ErrorIs(t, err, protocol.Errorf(protocol.CodeNodeUnreachable, ""))
	assert.Empty(t, got)
}

func TestTooManyCalls(t *testing.T) {
	table := callTable{calls: map[uint32]*call{}}
	for id := range uint32(maxPending) {
		table.calls[id] = nil
	}
	_, err := table.add(&call{}, time.Hour)
	assert.ErrorIs(t, err, protocol.Errorf(protocol.CodeOverloaded, ""))
}

package front

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// readable is a poll that is about to read topic "q".
func (w *world) readable(change func(*protocol.PollRequest)) *testPoll {
	p := w.pollOf(change)
	for p.state != stateWait {
		_, _, err := p.Advance()
		require.Nil(w.t, err)
		if p.state != stateWait {
			p.parkNow()
			p.resumed()
		}
	}
	p.state = stateRead
	return p
}

// While a partition has no leader the others are read.
func TestReadAroundALeaderlessPartition(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 3)
	p := w.readable(nil)
	leaders[0].append("1")
	leaders[1].resign()
	leaders[2].append("3")
	began := time.Now()
	require.Equal(t, stateDeliver, p.onRead())
	assert.Less(t, time.Since(began), unansweredLeader, "nobody waits for the leader")
	assert.ElementsMatch(t, []string{"1", "3"}, values(p.look.got.records))
}

// Only when the others have nothing is a leader waited for.
func TestReadWaitsForTheOnlyLeader(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 2)
	p := w.readable(nil)
	leaders[0].resign()
	done := make(chan struct{})
	next := w.replica(q, 0)
	next.append("1")
	time.AfterFunc(50*time.Millisecond, func() {
		defer close(done)
		next.route.Set(next.Leadership)
	})
	assert.Equal(t, stateDeliver, p.onRead())
	<-done
	assert.Equal(t, []string{"1"}, values(p.look.got.records))

	w.replicas.running.Store(0)
	routes := leaders[1].route
	routes.Clear(routes.Leader())
	p.share.at = p.share.at[1:]
	assert.Equal(t, stateDone, p.onRead())
	requireCode(t, protocol.CodeNotEnoughReplicas, p.err)
}

// Each pass begins with another partition, so that a small answer does not
// always come of the same one.
func TestReadTakesTurns(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 3)
	p := w.readable(func(r *protocol.PollRequest) { r.MaxRecords = 1 })
	for _, l := range leaders {
		l.append("1", "2", "3")
	}
	seen := map[int]int{}
	for range 9 {
		require.Nil(t, p.read())
		require.Len(t, p.look.got.records, 1)
		seen[p.look.got.records[0].Partition]++
	}
	assert.Equal(t, map[int]int{0: 3, 1: 3, 2: 3}, seen)
}

func TestReadStaysWithinItsBounds(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	p := w.readable(func(r *protocol.PollRequest) { r.MaxRecords = 3 })
	large := `"` + strings.Repeat("x", 1000) + `"`
	leaders[0].append(large, large)
	leaders[1].append(large, large)
	require.Nil(t, p.read())
	assert.Len(t, p.look.got.records, 3)

	p = w.readable(func(r *protocol.PollRequest) { r.ConsumerID, r.Group, r.From.Latest = 8, "h", true })
	leaders[0].append(large, large)
	leaders[1].append(large, large)
	p.req.MaxBytes = 1000
	require.Nil(t, p.read())
	assert.Len(t, p.look.got.records, 1)
	p.req.MaxBytes = 1
	require.Nil(t, p.read())
	assert.Len(t, p.look.got.records, 1, "one always")
}

// fakeRoom is a budget of memory.
type fakeRoom struct {
	takes, keeps []int
	left         int // of it
	err          *protocol.Error
}

func (r *fakeRoom) Take(want int) (int, *protocol.Error) {
	r.takes = append(r.takes, want)
	return min(want, r.left), r.err
}

func (r *fakeRoom) Keep(n int) *protocol.Error {
	r.keeps = append(r.keeps, n)
	return nil
}

// Room is taken once for a pass, for about what there is to read, and what is
// not filled is given back.
func TestReadTakesRoom(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	room := &fakeRoom{left: 1 << 20}
	p := w.readable(func(r *protocol.PollRequest) { r.Room = room })
	assert.Empty(t, room.takes, "there was nothing to read")
	room.keeps = nil
	leaders[0].append("1", "2")
	leaders[1].append("3")
	require.Nil(t, p.read())
	require.Len(t, p.look.got.records, 3)
	require.Len(t, room.takes, 1)
	assert.GreaterOrEqual(t, room.takes[0], p.look.got.bytes)
	assert.Equal(t, []int{p.look.got.bytes}, room.keeps)

	leaders[0].append("4", "5")
	room.left = 1
	require.Nil(t, p.read())
	assert.Len(t, p.look.got.records, 1, "there is room for nothing, but one is read always")

	leaders[0].append("6")
	room.err = protocol.Errorf(protocol.CodeOverloaded, "no memory")
	requireCode(t, protocol.CodeOverloaded, p.read())
}

// Bytes that cannot be read are an error, and the poll is over.
func TestReadOfADamagedLog(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	p := w.readable(nil)
	leaders[0].append("1")
	w.disk.Fault = func(op faultfs.Op) error {
		if op.Kind == "read" {
			return assert.AnError
		}
		return nil
	}
	assert.Equal(t, stateDone, p.onRead())
	requireCode(t, protocol.CodeStorageFailed, p.err)
	assert.Equal(t, protocol.OutcomeNone, p.err.Outcome)
}

func TestReadBelowTheLogStart(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	p := w.readable(nil)
	leaders[0].append("1", "2")
	leaders[0].startAt(1)
	assert.Equal(t, stateDone, p.onRead())
	requireCode(t, protocol.CodeOffsetOutOfRange, p.err)
	assert.EqualValues(t, 1, p.err.Details["earliest"])
}

// Polls that one commit wakes share what the first of them has read. One that
// was not woken has nobody to share with.
func TestWokenPollsShareATail(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 1)
	first, second := &textSink{}, &textSink{}
	p := w.pollOf(func(r *protocol.PollRequest) { r.Sink = first })
	p.until(stateWait)
	leaders[0].append("1")
	p.answered()
	require.NotNil(t, tailAt(leaders[0].Leadership))
	leaders[0].append("2")
	w.pollOf(func(r *protocol.PollRequest) { r.Sink = second }).answered()
	assert.Equal(t, int64(1), tailAt(leaders[0].Leadership).hw, "read by itself")
	assert.Equal(t, []string{`q "k0" 1 `}, first.records)
	assert.Equal(t, []string{`q "k0" 2 `}, second.records)
}

// A partition whose records were removed before they were read does not hold the
// others back; the answer tells of it.
func TestReadAroundAGap(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 2)
	p := w.readable(nil)
	for range 10 {
		leaders[0].append("0")
	}
	leaders[0].startAt(5)
	leaders[1].append("1")
	require.Equal(t, stateDeliver, p.onRead())
	assert.Equal(t, []string{"1"}, values(p.look.got.records))
	want := []protocol.Gap{{Topic: "q", Partition: 0, Asked: 0, Earliest: 5, Latest: 10}}
	assert.Equal(t, want, p.look.gaps)
	p.state = stateDeliver
	reply := p.answered()
	assert.Equal(t, want, reply.Gaps)
	assert.Equal(t, protocol.Offset(0), w.groups.committed("g", q.ID, 0), "nothing was skipped")

	// When the others have nothing the poll fails, as if there were no others.
	p = w.pollOf(nil)
	_, err := p.finish()
	requireCode(t, protocol.CodeOffsetOutOfRange, err)
}

// A stream goes on behind the gap, and says so once.
func TestReadSkipsGaps(t *testing.T) {
	for name, auto := range map[string]bool{"committing": true, "by cursor": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, leaders := w.withTopic("q", 1)
			p := w.readable(func(r *protocol.PollRequest) { r.SkipGaps, r.AutoCommit = true, auto })
			for range 10 {
				leaders[0].append("0")
			}
			leaders[0].startAt(5)
			require.Equal(t, stateDeliver, p.onRead())
			p.state = stateDeliver
			reply := p.answered()
			assert.Len(t, reply.Records, 5)
			assert.Equal(t, []protocol.Gap{{Topic: "q", Partition: 0, Asked: 0, Earliest: 5, Latest: 10}}, reply.Gaps)
			again := w.pollOf(func(r *protocol.PollRequest) {
				r.SkipGaps, r.AutoCommit, r.Timeout = true, auto, 0
				if !auto {
					r.After = reply.Cursor
				}
			}).answered()
			assert.Empty(t, again.Gaps)
			assert.Empty(t, again.Records)
		})
	}
}

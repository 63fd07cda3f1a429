package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// What a leader gathers on a disk that does not move is bounded, for those who
// do not wait too; a state machine's own records are few and always taken.
func TestLeaderGathersSoMuch(t *testing.T) {
	r := &Replica{leading: newLeading(1, 1<<20)}
	propose := func(size int, noAck bool) *protocol.ProduceRequest {
		req := &protocol.ProduceRequest{NoAck: noAck, Lines: protocol.Lines{Buf: make([]byte, size)}}
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		r.Propose(Proposal{Request: req, Lines: &req.Lines})
		return req
	}
	refused := func(req *protocol.ProduceRequest) bool {
		res, ok := req.Reply.Wait(time.Time{})
		return ok && res.Err != nil && res.Err.Code == protocol.CodeOverloaded
	}
	require.False(t, refused(propose(maxQueuedBytes+1, false)), "a single one, however large")
	for range 100 {
		require.True(t, refused(propose(1, false)))
		require.True(t, refused(propose(1, true)), "not accepted and then dropped")
	}
	assert.Equal(t, maxQueuedBytes+1, r.leading.queue.bytes)
	assert.Len(t, r.leading.queue.items, 1)

	r.Propose(Proposal{Lines: &protocol.Lines{Buf: []byte("x")}, Done: func(protocol.ProduceResult) { t.Error("refused") }})
	assert.Len(t, r.leading.queue.items, 2)
}

// What has waited too long is refused and not written: nobody waits for it. An
// entry that was slow makes some be refused early, not all of them for good.
func TestLeaderDropsWhatIsTooLate(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	l := newLeading(1, 1<<20)
	gather := func(left time.Duration) *protocol.ProduceRequest {
		req := &protocol.ProduceRequest{Lines: protocol.Lines{Buf: []byte("x")}, Deadline: now.Add(left)}
		req.Reply = protocol.NewFuture[protocol.ProduceResult]()
		l.gather(Proposal{Request: req, Lines: &req.Lines})
		return req
	}
	refused := func(req *protocol.ProduceRequest) bool {
		res, ok := req.Reply.Wait(time.Time{})
		require.True(t, !ok || res.Err.Code == protocol.CodeOverloaded && res.Err.Outcome == protocol.OutcomeNone)
		return ok
	}
	late, inTime := gather(-time.Millisecond), gather(time.Hour)
	patient, once := gather(0), gather(-time.Second)
	patient.Deadline, once.ProducerID = time.Time{}, "p"
	l.dropLate(now)
	require.True(t, refused(late))
	require.False(t, refused(inTime))
	require.Len(t, l.queue.items, 3)
	require.Equal(t, 3, l.queue.bytes)
	require.EqualValues(t, 4, l.accepted)
	require.EqualValues(t, 1, l.answered)

	inTime.Deadline = now.Add(maxLatency / 2)
	l.latency.note(now.Add(-time.Hour), now) // the disk has hung
	l.dropLate(now)
	require.True(t, refused(inTime), "the next entry will take longer")
	require.Less(t, l.latency.last, maxLatency, "a little less is expected of the one after")
	require.Len(t, l.queue.items, 2, "whoever does not give up is served")
	l.queue.drop(1, 1)
	l.dropLate(now)
	require.Len(t, l.queue.items, 1, "a retry is to find it")
	l.queue.clear()

	l.latency.note(now.Add(-time.Hour), now)
	patient = gather(2 * maxLatency)
	l.dropLate(now)
	require.False(t, refused(patient), "an hour says little about the next entry")
	l.queue.clear()
	l.latency = commitLatency{last: time.Hour, at: now.Add(-maxLatency)}
	soon := gather(time.Minute)
	l.dropLate(now)
	require.False(t, refused(soon), "nothing was slow lately")
}

// leader is a leading that serves, and the results of what it was asked for, by
// the first byte of the value.
type leader struct {
	*leading
	t       *testing.T
	results map[byte]protocol.ProduceResult
}

func newLeader(t *testing.T) *leader {
	l := &leader{leading: newLeading(5, 1000), t: t, results: map[byte]protocol.ProduceResult{}}
	require.True(t, l.startServing(5))
	return l
}

// put gathers one record per byte of names.
func (l *leader) put(names string) {
	for _, name := range []byte(names) {
		lines := &protocol.Lines{}
		lines.Add(1, "t", 0, []byte("-"), []byte{name}, protocol.ActionProduce, nil)
		l.gather(Proposal{Lines: lines, Done: func(res protocol.ProduceResult) { l.results[name] = res }})
	}
}

// propose makes an entry of what is gathered, as if raft had taken it at index.
func (l *leader) propose(index uint64, base int64) {
	e, data := l.nextEntry(time.UnixMilli(1), 1, base, newProducerTable())
	require.NotNil(l.t, data)
	l.proposed(e, index)
}

func (l *leader) apply(index, term uint64) {
	entries := l.committed(nil, index, term, time.UnixMilli(2))
	for i := range entries {
		entries[i].Answer()
	}
}

// requireResults compares results by name: an offset, or the outcome of an error.
func (l *leader) requireResults(want map[byte]any) {
	l.t.Helper()
	got := map[byte]any{}
	for name, res := range l.results {
		if got[name] = any(int(res.BaseOffset)); res.Err != nil {
			got[name] = res.Err.Outcome
		}
	}
	require.Equal(l.t, want, got)
}

// An entry that another one has replaced in the log is never answered with an
// offset, wherever the other one's index and term are.
func TestPendingEntryIsAnsweredByExactlyItsEntry(t *testing.T) {
	unknown := protocol.OutcomeUnknown
	tests := map[string]struct {
		applied [][2]uint64 // index, term
		want    map[byte]any
	}{
		"an earlier entry":                       {[][2]uint64{{9, 5}}, map[byte]any{}},
		"the first":                              {[][2]uint64{{10, 5}}, map[byte]any{'a': 100, 'b': 101}},
		"both":                                   {[][2]uint64{{10, 5}, {11, 5}}, map[byte]any{'a': 100, 'b': 101, 'c': 102}},
		"another term's at the first's index":    {[][2]uint64{{10, 6}}, map[byte]any{'a': unknown, 'b': unknown}},
		"another term's behind both":             {[][2]uint64{{12, 6}}, map[byte]any{'a': unknown, 'b': unknown, 'c': unknown}},
		"the second without the first":           {[][2]uint64{{11, 5}}, map[byte]any{'a': unknown, 'b': unknown, 'c': 102}},
		"the first, then another term's instead": {[][2]uint64{{10, 5}, {11, 6}}, map[byte]any{'a': 100, 'b': 101, 'c': unknown}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLeader(t)
			l.put("ab")
			l.propose(10, 100)
			l.put("c")
			l.propose(11, 102)
			for _, e := range tt.applied {
				l.apply(e[0], e[1])
			}
			l.requireResults(tt.want)
			require.Equal(t, len(tt.want) == 3, l.isAnswered(3))
		})
	}
}

// What was proposed may survive the leader, what was only gathered cannot.
func TestStepDownTellsWhatMayHaveHappened(t *testing.T) {
	l := newLeader(t)
	l.put("a")
	l.propose(10, 100)
	l.put("b")
	var read *protocol.Error
	l.reads.add(func(err *protocol.Error) { read = err })
	l.stepDown(0, protocol.Unknownf("the leader changed"))
	l.requireResults(map[byte]any{'a': protocol.OutcomeUnknown, 'b': protocol.OutcomeNone})
	require.Equal(t, protocol.ErrNotLeader, read)
	require.True(t, l.idle())
}

// What others have committed while it led is what the leader has proposed, though its own
// disk does not have it.
func TestStepDownKnowsWhatOthersHaveCommitted(t *testing.T) {
	l := newLeader(t)
	l.put("a")
	l.propose(10, 100)
	l.put("b")
	l.propose(11, 101)
	others := l.stepDown(10, protocol.Unknownf("the leader changed"))
	l.requireResults(map[byte]any{'b': protocol.OutcomeUnknown})
	require.Len(t, others, 1)
	others[0].Answer()
	l.requireResults(map[byte]any{'a': 100, 'b': protocol.OutcomeUnknown})
}

// A leader whose disk hangs waits for nothing.
func TestHandOverNow(t *testing.T) {
	l := newLeader(t)
	l.put("a")
	l.propose(10, 100)
	l.beginHandOver(2)
	l.handOver.now = true
	require.EqualValues(t, 2, l.nextTransfer())
	require.Zero(t, l.nextTransfer())
}

// A hand-over waits for what is in flight, refuses the rest, is told to raft
// once, and is over after an election timeout if raft made nothing of it.
func TestHandOverWaitsForEntriesInFlight(t *testing.T) {
	const electionTicks = 3
	l := newLeader(t)
	l.put("a")
	l.propose(10, 100)
	l.put("b")
	l.beginHandOver(2)
	l.put("c")
	l.requireResults(map[byte]any{'b': protocol.OutcomeNone, 'c': protocol.OutcomeNone})
	require.Zero(t, l.nextTransfer(), "a is in flight")
	l.apply(10, 5)
	l.requireResults(map[byte]any{'a': 100, 'b': protocol.OutcomeNone, 'c': protocol.OutcomeNone})
	require.EqualValues(t, 2, l.nextTransfer())
	require.Zero(t, l.nextTransfer())
	for range electionTicks {
		l.handOverTick(electionTicks)
	}
	l.put("d")
	require.Contains(t, l.results, byte('d'), "it is under way still")
	l.handOverTick(electionTicks)
	l.put("e")
	require.NotContains(t, l.results, byte('e'))
	require.True(t, l.mayPropose())
}

// A read counts only a confirmation that was asked for after the read, and waits
// until what was committed then is applied.
func TestReadWaitsForALaterConfirmation(t *testing.T) {
	var q readQueue
	answered := ""
	read := func(name string) { q.add(func(*protocol.Error) { answered += name }) }
	read("a")
	first := q.nextRequest()
	read("b")
	require.True(t, q.unconfirmed())
	q.confirm(first, 7)
	q.answer(6)
	require.Empty(t, answered, "entry 7 is not applied")
	q.answer(7)
	require.Equal(t, "a", answered)
	second := q.nextRequest()
	q.confirm(first, 9) // late, once more
	q.answer(9)
	require.Equal(t, "a", answered, "b was asked for after that")
	q.confirm(second, 8)
	require.False(t, q.unconfirmed())
	q.answer(9)
	require.Equal(t, "ab", answered)
}

// Whoever has an answer may use the lines for other records at once.
func TestPlacesDoNotDependOnLinesThatAreAnswered(t *testing.T) {
	e := PendingEntry{base: 10}
	var places []protocol.Offset
	for n := range 3 {
		lines := &protocol.Lines{}
		for range n + 1 {
			lines.Add(1, "t", 0, []byte(`"k"`), []byte("1"), protocol.ActionProduce, nil)
		}
		e.proposals = append(e.proposals, Proposal{Lines: lines, Done: func(res protocol.ProduceResult) {
			places = append(places, res.BaseOffset)
			*lines = protocol.Lines{}
		}})
	}
	e.Answer()
	assert.Equal(t, []protocol.Offset{10, 11, 13}, places)
}

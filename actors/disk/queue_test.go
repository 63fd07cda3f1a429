package disk

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

const us = time.Microsecond

var testGroup = Group{TopicID: "t", Partition: 1}

// write describes a queued write in the tables below.
func write(from string, seq uint64, change ...func(*Write)) *Write {
	w := &Write{From: fakePID(from), Seq: seq, Group: testGroup, Batch: writeTo(100, &fakeFile{name: from})}
	for _, c := range change {
		c(w)
	}
	return w
}

func index(i uint64) func(*Write) { return func(w *Write) { w.Index = i } }
func siblings(n int) func(*Write) { return func(w *Write) { w.Siblings = n } }
func priority(w *Write)           { w.Priority = true }
func vote(w *Write)               { w.Priority, w.Urgent = true, true }
func noSync(w *Write)             { w.NoSync = true }
func size(n int) func(*Write)     { return func(w *Write) { w.Batch = writeTo(n, &fakeFile{}) } }
func group(p int) func(*Write)    { return func(w *Write) { w.Group.Partition = p } }
func batch(b Batch) func(*Write) {
	return func(w *Write) { w.Batch = b }
}

// taken lists a round as "from:seq", lane by lane.
func taken(r *round) []string {
	if r == nil {
		return nil
	}
	var out []string
	for _, rl := range r.lanes {
		for _, w := range rl.writes {
			out = append(out, fmt.Sprintf("%s:%d", w.From.Id, w.Seq))
		}
	}
	return out
}

func TestDiskQueueRounds(t *testing.T) {
	const mib = 1 << 20
	tests := map[string]struct {
		writes []*Write
		rounds [][]string // the writes of successive rounds
	}{
		"one write": {
			[]*Write{write("a", 1)},
			[][]string{{"a:1"}},
		},
		"writes of one replica stay in order": {
			[]*Write{write("a", 1), write("b", 1), write("a", 2), write("b", 2)},
			[][]string{{"a:1", "a:2", "b:1", "b:2"}},
		},
		"a vote goes first, behind earlier writes of its own replica only": {
			[]*Write{write("a", 1), write("b", 1), write("b", 2, priority)},
			[][]string{{"b:1", "b:2", "a:1"}},
		},
		"at most 1 MiB of one replica": {
			[]*Write{write("a", 1, size(mib/2)), write("a", 2, size(mib/2)), write("a", 3, size(1)), write("b", 1)},
			[][]string{{"a:1", "a:2", "b:1"}, {"a:3"}},
		},
		"a single larger write is taken whole": {
			[]*Write{write("a", 1, size(3*mib)), write("a", 2)},
			[][]string{{"a:1"}, {"a:2"}},
		},
		"beside a vote 1 MiB of the others, who come next": {
			[]*Write{write("a", 1, size(mib)), write("b", 1, size(mib)), write("c", 1, size(mib)), write("v", 1, priority)},
			[][]string{{"v:1", "a:1"}, {"b:1", "c:1"}},
		},
		"what is left of a replica goes behind those that got no turn": {
			[]*Write{
				write("v", 1, priority), write("a", 1, size(mib)), write("a", 2, size(mib)), write("b", 1, size(mib)),
			},
			[][]string{{"v:1", "a:1"}, {"b:1", "a:2"}},
		},
		"empty batches are answered in their turn": {
			[]*Write{write("a", 1), write("a", 2, batch(nil)), write("a", 3, batch(writeTo(0)))},
			[][]string{{"a:1", "a:2", "a:3"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := newQueue(100 * us)
			for _, w := range tt.writes {
				refused, _ := q.push(w, 0)
				require.Nil(t, refused)
			}
			for _, want := range tt.rounds {
				r, wait := q.next(0)
				require.Zero(t, wait)
				assert.Equal(t, want, taken(r))
				again, _ := q.next(0)
				require.Nil(t, again, "one round at a time")
				r.run(&plainSyncer{})
				assert.Len(t, q.finish(r), len(want))
			}
			r, wait := q.next(0)
			assert.Nil(t, r)
			assert.Zero(t, wait)
			assert.Zero(t, q.first)
		})
	}
}

func TestDiskQueueWaitsForSiblings(t *testing.T) {
	type step struct {
		at   time.Duration
		w    *Write // nil: only ask
		wait time.Duration
		took []string
	}
	tests := map[string][]step{
		"nothing expected, nothing waited for": {
			{0, write("f", 1, index(5)), 0, []string{"f:1"}},
		},
		"the leader waits for both followers": {
			{0, write("l", 1, index(5), siblings(2)), 100 * us, nil},
			{30 * us, write("f", 1, index(5)), 70 * us, nil},
			{40 * us, write("g", 1, index(5)), 0, []string{"l:1", "f:1", "g:1"}},
		},
		"a follower that is further along counts": {
			{0, write("l", 1, index(5), siblings(1)), 100 * us, nil},
			{1 * us, write("f", 1, index(6)), 0, []string{"l:1", "f:1"}},
		},
		"a follower that lags does not": {
			{0, write("l", 1, index(5), siblings(1)), 100 * us, nil},
			{1 * us, write("f", 1, index(4)), 99 * us, nil},
			{100 * us, nil, 0, []string{"l:1", "f:1"}},
		},
		"another partition's write does not": {
			{0, write("l", 1, index(5), siblings(1)), 100 * us, nil},
			{1 * us, write("x", 1, index(5), group(2)), 99 * us, nil},
			{101 * us, nil, 0, []string{"l:1", "x:1"}},
		},
		"two writes of one follower are one sibling": {
			{0, write("l", 1, index(5), siblings(2)), 100 * us, nil},
			{1 * us, write("f", 1, index(5)), 99 * us, nil},
			{2 * us, write("f", 2, index(6)), 98 * us, nil},
		},
		"a vote ends the waiting": {
			{0, write("l", 1, index(5), siblings(2)), 100 * us, nil},
			{1 * us, write("v", 1, vote, group(9)), 0, []string{"v:1", "l:1"}},
		},
		"who goes first waits as well": {
			{0, write("l", 1, index(5), siblings(2), priority), 100 * us, nil},
			{1 * us, write("f", 1, index(5), priority), 99 * us, nil},
			{2 * us, write("g", 1, index(5), priority), 0, []string{"l:1", "f:1", "g:1"}},
		},
		"the time is counted from the oldest write": {
			{0, write("l", 1, index(5), siblings(2)), 100 * us, nil},
			{60 * us, write("m", 1, index(9), siblings(2), group(2)), 40 * us, nil},
			{100 * us, nil, 0, []string{"l:1", "m:1"}},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			q := newQueue(100 * us)
			for i, s := range steps {
				if s.w != nil {
					q.push(s.w, s.at)
				}
				r, wait := q.next(s.at)
				assert.Equal(t, s.wait, wait, "step %d", i)
				assert.Equal(t, s.took, taken(r), "step %d", i)
			}
		})
	}
}

func TestDiskQueueDoesNotWaitForSiblingsAlreadyQueued(t *testing.T) {
	q := newQueue(100 * us)
	q.push(write("x", 1, group(2)), 0)
	running, _ := q.next(0)
	require.NotNil(t, running)
	q.push(write("f", 1, index(5)), 1*us)
	q.push(write("g", 1, index(5)), 2*us)
	q.push(write("l", 1, index(5), siblings(2)), 3*us)
	running.run(&plainSyncer{})
	q.finish(running)
	r, wait := q.next(4 * us)
	assert.Zero(t, wait)
	assert.Equal(t, []string{"f:1", "g:1", "l:1"}, taken(r))
}

// runOne runs the next round and returns the answers as text.
func runOne(t *testing.T, q *queue, s syncer) []string {
	t.Helper()
	r, _ := q.next(time.Hour)
	require.NotNil(t, r)
	r.run(s)
	return answersText(q.finish(r))
}

func answersText(answers []laneAnswer) (out []string) {
	for _, a := range answers {
		switch {
		case a.failed:
			out = append(out, fmt.Sprintf("%s lost", a.to.Id))
		case a.done.Err == nil:
			out = append(out, fmt.Sprintf("%s:%d ok", a.to.Id, a.done.Seq))
		case Retriable(a.done.Err):
			out = append(out, fmt.Sprintf("%s:%d again", a.to.Id, a.done.Seq))
		default:
			out = append(out, fmt.Sprintf("%s:%d failed", a.to.Id, a.done.Seq))
		}
	}
	return out
}

func TestDiskQueueNoSpaceHoldsOneReplica(t *testing.T) {
	q, s, f := newQueue(0), &plainSyncer{}, &fakeFile{}
	var err error = syscall.ENOSPC
	q.push(write("a", 1), 0)
	q.push(write("a", 2, batch(failing(&err, f))), 0)
	q.push(write("a", 3), 0)
	q.push(write("b", 1), 0)
	running, _ := q.next(0)
	q.push(write("a", 4), 0) // arrives while the round runs
	running.run(s)
	assert.Equal(t, []string{"a:1 ok", "a:2 again", "a:3 again", "a:4 again", "b:1 ok"}, answersText(q.finish(running)))

	refused, _ := q.push(write("a", 5), 0)
	require.NotNil(t, refused, "it would leave a hole")
	assert.Equal(t, []string{"a:5 again"}, answersText([]laneAnswer{*refused}))

	err = nil
	s.rounds = nil
	for seq := uint64(2); seq <= 5; seq++ {
		refused, _ = q.push(write("a", seq), 0)
		require.Nil(t, refused, "seq %d", seq)
	}
	assert.Equal(t, []string{"a:2 ok", "a:3 ok", "a:4 ok", "a:5 ok"}, runOne(t, q, s))
	assert.Contains(t, s.rounds[0], syncTarget{file: f, alone: true}, "what the failed write left may have been written back before")
}

// Files stay open until they are synced, so a round writes to no more than may be open.
func TestDiskQueueRoundsOfFewFiles(t *testing.T) {
	q, s := newQueue(0), &plainSyncer{}
	q.mostLanes = 2
	for _, from := range []string{"a", "b", "c", "d", "a"} {
		q.push(write(from, uint64(len(q.order)+1)), 0)
	}
	q.push(write("v", 1, priority), 0)
	assert.Equal(t, []string{"v:1 ok", "a:1 ok", "a:5 ok"}, runOne(t, q, s))
	assert.Equal(t, []string{"b:2 ok", "c:3 ok"}, runOne(t, q, s))
	assert.Equal(t, []string{"d:4 ok"}, runOne(t, q, s))
}

func TestDiskQueueFailedSyncIsFinal(t *testing.T) {
	q, s := newQueue(0), &plainSyncer{}
	bad, good := &fakeFile{fail: syscall.ENOSPC}, &fakeFile{}
	q.push(write("a", 1, batch(writeTo(5, good))), 0)
	q.push(write("a", 2, batch(writeTo(5, bad))), 0)
	q.push(write("a", 3, batch(nil)), 0)
	q.push(write("b", 1, batch(writeTo(5, good))), 0)
	assert.Equal(t, []string{"a:1 ok", "a:2 failed", "a:3 failed", "b:1 ok"}, runOne(t, q, s))

	bad.failWith(nil)
	for _, seq := range []uint64{1, 2, 4} {
		refused, _ := q.push(write("a", seq), 0)
		require.NotNil(t, refused, "seq %d", seq)
		assert.False(t, Retriable(refused.done.Err))
	}
	q.push(write("b", 2), 0)
	assert.Equal(t, []string{"b:2 ok"}, runOne(t, q, s))
}

func TestDiskQueueBackgroundSync(t *testing.T) {
	q, s, f := newQueue(0), &plainSyncer{}, &fakeFile{}
	q.push(write("a", 1, noSync, batch(writeTo(5, f))), 0)
	assert.Equal(t, []string{"a:1 ok"}, runOne(t, q, s))
	assert.Zero(t, f.count(), "answered without a sync")

	q.flush()
	q.flush()
	assert.Empty(t, runOne(t, q, s))
	assert.Equal(t, 1, f.count())
	q.flush()
	r, _ := q.next(0)
	assert.Nil(t, r, "nothing is dirty any more")

	q.push(write("a", 2, noSync, batch(writeTo(5, f))), 0)
	runOne(t, q, s)
	f.failWith(syscall.EIO)
	q.flush()
	assert.Equal(t, []string{"a lost"}, runOne(t, q, s))
	refused, _ := q.push(write("a", 3, noSync), 0)
	assert.NotNil(t, refused)
}

func TestDiskQueueBackgroundSyncOfAClosedFile(t *testing.T) {
	q, s, f := newQueue(0), &plainSyncer{}, &fakeFile{}
	q.push(write("a", 1, noSync, batch(writeTo(5, f))), 0)
	runOne(t, q, s)
	q.forget(fakePID("a"))
	f.failWith(fmt.Errorf("segment: %w", logfile.ErrClosed))
	q.flush()
	assert.Empty(t, runOne(t, q, s), "its owner has gone")
	assert.Empty(t, q.lanes)
}

func TestDiskQueueSyncCoversEarlierUnsyncedWrites(t *testing.T) {
	q, s, f := newQueue(0), &plainSyncer{}, &fakeFile{}
	q.push(write("a", 1, noSync, batch(writeTo(5, f))), 0)
	runOne(t, q, s)
	q.push(write("a", 2, batch(nil)), 0)
	assert.Equal(t, []string{"a:2 ok"}, runOne(t, q, s))
	require.Len(t, s.rounds, 1)
	assert.Equal(t, []syncTarget{{file: f, alone: true}}, s.rounds[0], "its own descriptor knows of failed write-backs")

	q.push(write("a", 3, noSync, batch(writeTo(5, f))), 0)
	runOne(t, q, s)
	f.failWith(syscall.EIO)
	q.push(write("a", 4, batch(nil)), 0)
	assert.Equal(t, []string{"a:4 failed", "a lost"}, runOne(t, q, s))
}

func TestDiskQueueBackgroundSyncsAFewAtATime(t *testing.T) {
	q, s := newQueue(0), &plainSyncer{}
	for i := range maxFlushLanes + 3 {
		q.push(write(fmt.Sprint(i), 1, noSync), 0)
	}
	runOne(t, q, s)
	q.flush()
	runOne(t, q, s)
	runOne(t, q, s)
	require.Len(t, s.rounds, 2)
	assert.Len(t, s.rounds[0], maxFlushLanes)
	assert.Len(t, s.rounds[1], 3)
}

func TestDiskQueueForgetsStoppedReplicas(t *testing.T) {
	q, s := newQueue(0), &plainSyncer{}
	q.push(write("a", 1), 0)
	q.push(write("b", 1, batch(writeTo(5, &fakeFile{fail: errors.New("gone")}))), 0)
	q.forget(fakePID("a"))
	q.forget(fakePID("b"))
	q.forget(fakePID("never seen"))
	assert.Equal(t, []string{"a:1 ok", "b:1 failed"}, runOne(t, q, s))
	assert.Empty(t, q.lanes)
	assert.Empty(t, q.groups)
}

func TestDiskQueueDrain(t *testing.T) {
	q := newQueue(100 * us)
	q.push(write("a", 1, siblings(2), index(1)), 0)
	q.push(write("b", 1, vote), 0)
	q.push(write("a", 2), 0)
	assert.Equal(t, []string{"a:1 failed", "a:2 failed", "b:1 failed"}, answersText(q.failAll(ErrStopped)))
	r, wait := q.next(0)
	assert.Nil(t, r)
	assert.Zero(t, wait)
	assert.Empty(t, q.expects)
	assert.Zero(t, q.first)
	assert.Zero(t, q.urgent)
}

func TestDiskRoundPanickingBatch(t *testing.T) {
	q, s := newQueue(0), &plainSyncer{}
	q.push(write("a", 1, batch(&fakeBatch{bytes: 1, do: func() error { panic("boom") }})), 0)
	q.push(write("b", 1), 0)
	assert.Equal(t, []string{"a:1 failed", "b:1 ok"}, runOne(t, q, s))
}

func TestRetriable(t *testing.T) {
	tests := map[string]struct {
		err  error
		want bool
	}{
		"no space":                {fmt.Errorf("write: %w", syscall.ENOSPC), true},
		"quota":                   {syscall.EDQUOT, true},
		"no space, of an earlier": {&earlierError{seq: 1, cause: syscall.ENOSPC}, true},
		"no descriptor":           {fmt.Errorf("open: %w", syscall.EMFILE), true},
		"no space, from sync":     {&SyncError{Cause: syscall.ENOSPC}, false},
		"input/output error":      {syscall.EIO, false},
		"stopping":                {ErrStopped, false},
		"nothing":                 {nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tt.want, Retriable(tt.err)) })
	}
}

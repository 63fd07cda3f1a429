package front

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/protocol"
)

// fedQueue is a queue with the real state, and the goroutines that feed it. What it
// changes is committed at once.
type fedQueue struct {
	*world
	mu     sync.Mutex
	state  *queue.State
	work   chan struct{}
	ended  chan struct{}
	once   sync.Once
	buried func() *protocol.Error // nil: every one is taken
}

// end ends the queue.
func (q *fedQueue) end() { q.once.Do(func() { close(q.ended) }) }

// feedQueue has a queue give out the records of a topic.
func (w *world) feedQueue(t *protocol.Topic) *fedQueue {
	q := &fedQueue{world: w, state: queue.New("q"), work: make(chan struct{}, 1), ended: make(chan struct{})}
	_, _, err := q.state.Put(q.now(), &queue.Change{Topics: []queue.Topic{{ID: t.ID, Name: t.Name}}}, []byte("s"))
	require.Nil(w.t, err)
	q.state.Resume()
	w.FeedQueue(&routing.QueueFeed{Group: "q", Ended: q.ended, Work: q.work, Ask: q.ask})
	w.t.Cleanup(q.end)
	return q
}

func (q *fedQueue) now() int64 { return time.Now().UnixMilli() }

func (q *fedQueue) ask(m routing.Question) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch m := m.(type) {
	case *routing.QueueLook:
		m.Reply.Put(routing.QueueWork{Scans: q.state.Scans(func(t queue.Topic) int { return m.Partitions[t.ID] }), Dying: q.state.Dying()})
	case *routing.QueueRead:
		q.state.Feed(q.now(), &m.Read)
	case *routing.QueueBuried:
		if q.buried != nil {
			if err := q.buried(); err != nil {
				m.Refuse(err)
				return
			}
		}
		q.state.Buried(q.now(), m.Dying.ID, m.Dying.Offset, m.Dying.Seq, m.Written)
		m.Reply.Put(nil)
	}
}

// give takes records when there are as many as wanted.
func (q *fedQueue) give(t *protocol.Topic, n int) (list []queue.Given) {
	q.t.Helper()
	require.Eventually(q.t, func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		got, _, err := q.state.Give(q.now(), &queue.Ask{ClusterID: "c", Topics: []string{t.ID}, MaxRecords: n - len(list), MaxBytes: 1 << 20})
		require.Nil(q.t, err)
		list = append(list, got...)
		return len(list) == n
	}, patience, time.Millisecond)
	return list
}

// die has a record die, since some time ago.
func (q *fedQueue) die(g *queue.Given, ago time.Duration) {
	q.t.Helper()
	r, err := queue.DecodeReceipt(g.Receipt)
	require.Nil(q.t, err)
	q.mu.Lock()
	verdicts, _ := q.state.Say(q.now()-ago.Milliseconds(), &queue.Word{Verb: queue.Nack, Dead: true, Reason: "why"}, []*queue.Receipt{r})
	q.mu.Unlock()
	require.Equal(q.t, []queue.Verdict{queue.Done}, verdicts)
	q.work <- struct{}{}
}

func (q *fedQueue) position(t *protocol.Topic) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, at := range q.state.Positions() {
		if at.ID.TopicID == t.ID && at.ID.Partition == 0 {
			return int(at.Offset)
		}
	}
	return -1
}

// A partition whose leader does not answer holds up no other, and is read when it does.
func TestFeedingAQueue(t *testing.T) {
	w := newWorld(t)
	jobs, leaders := w.withTopic("jobs", 2)
	leaders[0].append(`1`, `2`)
	leaders[1].append(`3`)
	answers := make(chan struct{})
	leaders[1].silent = func() *protocol.Error { // and its first answer is an error
		<-answers
		leaders[1].silent = nil
		return protocol.ErrNotLeader
	}
	q := w.feedQueue(jobs)
	require.Len(t, q.give(jobs, 2), 2)
	leaders[0].append(`4`)
	require.Len(t, q.give(jobs, 1), 1, "it waits at the end of the partition")
	close(answers)
	got := q.give(jobs, 1)
	require.Equal(t, 1, got[0].ID.Partition)
}

// When a queue ends, nobody who reads for it stays behind.
func TestAQueueEndsWhileItIsRead(t *testing.T) {
	w := newWorld(t)
	jobs, leaders := w.withTopic("jobs", 3*feedReaders)
	answers := make(chan struct{})
	var asked atomic.Int32
	for _, l := range leaders {
		l.silent = func() *protocol.Error {
			asked.Add(1)
			<-answers
			return protocol.ErrNotLeader
		}
	}
	q := w.feedQueue(jobs)
	require.Eventually(t, func() bool { return asked.Load() == feedReaders }, patience, time.Millisecond, "as many as may read at the same time")
	q.end()
	close(answers)
	require.Eventually(t, func() bool { return asked.Load() == int32(len(leaders)) }, patience, time.Millisecond)
}

// A dead letter that may have been written is written again under the same number.
func TestDeadLettersAreWrittenOnce(t *testing.T) {
	w := newWorld(t)
	jobs, leaders := w.withTopic("jobs", 1)
	leaders[0].append(`1`, `2`, `3`)
	dead, graves := w.withTopic("jobs.dead", 1)
	type try struct {
		id  string
		seq int64
	}
	tries := make(chan try, 100)
	var last try
	graves[0].produce = func(req *protocol.ProduceRequest) {
		now := try{req.ProducerID, req.Sequence}
		if tries <- now; now != last {
			graves[0].appendLines(&req.Lines)
		}
		last = now
		req.Reply.Put(protocol.ProduceResult{})
	}
	q := w.feedQueue(jobs)
	lost := 2
	q.buried = func() *protocol.Error {
		if lost--; lost >= 0 {
			return protocol.ErrNotLeader
		}
		return nil
	}
	given := q.give(jobs, 3)
	q.die(&given[0], 0)
	require.Eventually(t, func() bool { return q.position(jobs) == 1 }, patience, time.Millisecond)
	first := <-tries
	assert.Equal(t, int64(1), first.seq)
	assert.Equal(t, first, <-tries)
	assert.Equal(t, first, <-tries)
	require.Empty(t, tries)
	letters, err := w.Fetch(&protocol.FetchRequest{Topic: dead, MaxRecords: 9, MaxBytes: 1 << 20})
	require.Nil(t, err)
	require.Len(t, letters.Records, 1)
	assert.JSONEq(t, `{"ottla-dead-deliveries":"1","ottla-dead-group":"q","ottla-dead-offset":"0","ottla-dead-partition":"0","ottla-dead-reason":"why","ottla-dead-topic":"jobs"}`,
		string(letters.Records[0].Headers))

	// After a long time the partition may not know the number any more: the letter is
	// looked for.
	lines := &protocol.Lines{}
	lines.Add(time.Now().Add(-time.Hour).UnixMilli(), "jobs.dead", 0, []byte(`"k1"`), []byte(`2`), protocol.ActionProduce,
		[]byte(`{"ottla-dead-deliveries":"1","ottla-dead-group":"q","ottla-dead-offset":"1","ottla-dead-partition":"0","ottla-dead-reason":"why","ottla-dead-topic":"jobs"}`))
	graves[0].appendLines(lines)
	q.die(&given[1], time.Hour)
	require.Eventually(t, func() bool { return q.position(jobs) == 2 }, patience, time.Millisecond)
	require.Empty(t, tries, "it was there")
	q.die(&given[2], time.Hour)
	require.Eventually(t, func() bool { return q.position(jobs) == 3 }, patience, time.Millisecond)
	assert.EqualValues(t, 3, (<-tries).seq)

	// A record that retention has removed is no dead letter.
	leaders[0].append(`4`)
	given = q.give(jobs, 1)
	leaders[0].startAt(4)
	q.die(&given[0], 0)
	require.Eventually(t, func() bool { return q.position(jobs) == 4 }, patience, time.Millisecond)
	require.Empty(t, tries)
}

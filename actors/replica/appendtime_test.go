package replica

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"ottla/actors/level"
	"ottla/logfile"
	"ottla/logfile/faultfs"
	"ottla/protocol"

	"github.com/stretchr/testify/require"
)

// A producer that was heard of while a clock was years ahead is forgotten as if it had
// been heard of last when that was noticed.
func TestProducersOfAClockThatWasAhead(t *testing.T) {
	table := newProducerTable()
	put := func(id string, at int64) {
		table.put(&producerState{id: id, at: at})
	}
	const ahead = int64(1) << 42
	put("a", 1000)
	put("b", ahead)
	put("c", ahead)
	again, err := decodeProducerTable(table.encode(level.Newest))
	require.NoError(t, err)
	table = again
	table.clockSays(2000)
	put("d", 3000)
	put("e", 2000+producerRetention.Milliseconds())
	assert.Equal(t, []string{"b", "c", "d", "e"}, table.ids())
	put("f", 2001+producerRetention.Milliseconds())
	assert.Equal(t, []string{"d", "e", "f"}, table.ids())
}

// sole is a leader without followers, on a disk that is at once done.
type sole struct{ *Replica }

func leaderAlone(t *testing.T, millis func() int64) sole {
	fs := faultfs.New()
	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", Broker: 1, ReplicaID: 1}
	require.NoError(t, Create(fs, "/log", id, []uint64{1}, 0, logfile.Options{}))
	log, rec, err := logfile.Open(fs, "/log", logfile.Options{})
	require.NoError(t, err)
	r, err := New(Config{ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 1 << 20, Now: time.Now, Millis: millis, Logger: slog.New(slog.DiscardHandler)}, log, rec)
	require.NoError(t, err)
	r.Campaign(false)
	s := sole{r}
	s.work(t)
	return s
}

// work does what the replica asks for, until it asks for nothing.
func (s sole) work(t *testing.T) {
	for {
		fx := s.Take()
		for i := range fx.Committed {
			fx.Committed[i].Answer()
		}
		if fx.Flush {
			s.Flush()
		}
		for _, w := range fx.Writes {
			require.NoError(t, w.Batch.Execute())
			s.DiskDone(w.Seq, nil)
		}
		if !fx.Flush && len(fx.Writes) == 0 {
			return
		}
	}
}

// A clock that was behind for an entry makes nobody old who was heard of before it. That
// it was ahead before is believed once it has been as long as clocks differ.
func TestProducersOfAClockThatWasBehind(t *testing.T) {
	start := time.UnixMilli(1_800_000_000_000)
	now := start
	r := leaderAlone(t, func() int64 { return now.UnixMilli() })
	send := func(id string) bool {
		req := &protocol.ProduceRequest{ProducerID: "key:" + id, Reply: protocol.NewFuture[protocol.ProduceResult]()}
		req.Lines.Add(now.UnixMilli(), "t", 0, []byte("-"), []byte("1"), protocol.ActionProduce, nil)
		r.Propose(Proposal{Request: req, Lines: &req.Lines})
		r.work(t)
		res := <-req.Reply.C()
		require.Nil(t, res.Err)
		return res.Duplicate
	}
	corrected := func() bool {
		before := r.log.LastIndex()
		r.CorrectTime()
		r.work(t)
		return r.log.LastIndex() > before
	}
	send("a")
	now = start.Add(-time.Hour)
	send("b")
	require.False(t, corrected())
	now = now.Add(defaultClockJump - time.Millisecond)
	require.False(t, corrected())
	now = start.Add(time.Second)
	require.False(t, corrected())
	send("c")
	require.True(t, send("a"), "it was heard of a second ago")
	require.True(t, send("b"))

	now = start.Add(-time.Hour)
	require.False(t, corrected(), "the time starts anew")
	now = now.Add(defaultClockJump)
	require.True(t, corrected())
	require.False(t, corrected(), "once")
	now = now.Add(keyRetention)
	send("d")
	require.True(t, send("c"))
	now = now.Add(time.Millisecond)
	send("e")
	require.False(t, send("c"), "it is forgotten")
}

// Keys of a partition that gets no more of them are forgotten all the same, and no longer
// count among those of the process.
func TestKeysOfAnIdlePartitionExpire(t *testing.T) {
	start := time.UnixMilli(1_800_000_000_000)
	now := start
	r := leaderAlone(t, func() int64 { return now.UnixMilli() })
	budget := NewKeyBudget(10)
	r.producers.countIn(budget)
	for i := range 5 {
		req := &protocol.ProduceRequest{ProducerID: fmt.Sprint("key:", i), Reply: protocol.NewFuture[protocol.ProduceResult]()}
		req.Lines.Add(now.UnixMilli(), "t", 0, []byte("-"), []byte("1"), protocol.ActionProduce, nil)
		r.Propose(Proposal{Request: req, Lines: &req.Lines})
		r.work(t)
		require.Nil(t, (<-req.Reply.C()).Err)
		now = now.Add(time.Minute)
	}
	entries := func() uint64 {
		before := r.log.LastIndex()
		r.CorrectTime()
		r.work(t)
		return r.log.LastIndex() - before
	}
	now = start.Add(keyRetention)
	require.Zero(t, entries(), "they are remembered for so long")
	require.EqualValues(t, 5, budget.Used())
	now = now.Add(2*time.Minute + time.Millisecond)
	require.EqualValues(t, 1, entries())
	require.EqualValues(t, 2, budget.Used())
	require.Zero(t, entries(), "not before others are due")
	now = now.Add(time.Hour)
	require.EqualValues(t, 1, entries())
	require.Zero(t, budget.Used())
	now = now.Add(time.Hour)
	require.Zero(t, entries(), "there is nothing to forget")
}

// While a jump ahead of the clock is not believed, entries have the time before it, and
// so has the bound of the table.
func TestFullTableDuringAJumpOfTheClock(t *testing.T) {
	table := newProducerTable()
	table.keys.most = 2
	const believed = int64(1) << 40
	table.put(&producerState{id: "key:a", at: believed})
	table.put(&producerState{id: "key:b", at: believed})
	l := newLeading(1, 1<<20)
	req := &protocol.ProduceRequest{ProducerID: "key:c", Reply: protocol.NewFuture[protocol.ProduceResult]()}
	req.Lines.Add(believed, "t", 0, []byte("-"), []byte("1"), protocol.ActionProduce, nil)
	l.gather(Proposal{Request: req, Lines: &req.Lines})
	_, data := l.nextEntry(time.UnixMilli(believed).Add(24*time.Hour), believed, 0, table)
	require.Nil(t, data)
	res := <-req.Reply.C()
	require.NotNil(t, res.Err)
	require.Equal(t, protocol.CodeTooManyProducers, res.Err.Code)
}

func TestAppendTimes(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	log, err := logfile.Create(faultfs.New(), "/log", logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", ReplicaID: 1, Broker: 1}, logfile.Checkpoint{}, logfile.Options{BootID: "b"})
	require.NoError(t, err)
	clock := appendClock{func() int64 { return now.UnixMilli() }, time.Minute.Milliseconds()}
	index := uint64(0)
	for _, row := range []struct{ last, want time.Duration }{
		{-time.Hour, 0},
		{0, 0},
		{time.Second, time.Second},
		{time.Minute, time.Minute},
		{time.Minute + time.Millisecond, 0},
		{9 * 365 * 24 * time.Hour, 0},
	} {
		index++
		var b logfile.Batch
		require.NoError(t, log.Append(&b, []logfile.Frame{{
			Index: index, Term: 1, Kind: logfile.KindEmpty, AppendTime: now.Add(row.last).UnixMilli(), BodySum: logfile.Checksum(nil),
		}}))
		assert.Equal(t, now.Add(row.want).UnixMilli(), clock.after(log.LastAppendTime()), "the last entry is %v ahead", row.last)
	}
}

package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"ottla/actors/level"
	"ottla/logfile"
	"ottla/logfile/faultfs"

	"github.com/stretchr/testify/require"
)

// A producer that was heard of while a clock was years ahead is forgotten as if it had
// been heard of last when that was noticed.
func TestProducersOfAClockThatWasAhead(t *testing.T) {
	table := newProducerTable()
	put := func(id string, at int64) {
		table.clockSays(at)
		table.put(&producerState{id: id, at: at})
	}
	const ahead = int64(1) << 42
	put("a", 1000)
	put("b", ahead)
	put("c", ahead)
	again, err := decodeProducerTable(table.encode(level.Newest))
	require.NoError(t, err)
	table = again
	table.clockSays(2000) // an entry without producers
	put("d", 3000)
	put("e", 2000+producerRetention.Milliseconds())
	assert.Equal(t, []string{"b", "c", "d", "e"}, table.ids())
	put("f", 2001+producerRetention.Milliseconds())
	assert.Equal(t, []string{"d", "e", "f"}, table.ids())
}

func TestAppendTimes(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	log, err := logfile.Create(faultfs.New(), "/log", logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", ReplicaID: 1, Broker: 1}, logfile.Checkpoint{}, logfile.Options{BootID: "b"})
	require.NoError(t, err)
	r := &Replica{log: log, cfg: Config{Millis: func() int64 { return now.UnixMilli() }, ClockJump: time.Minute}}
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
		assert.Equal(t, now.Add(row.want).UnixMilli(), r.appendTime(), "the last entry is %v ahead", row.last)
	}
}

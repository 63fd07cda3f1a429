package replica

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"ottla/actors/level"
	"ottla/link"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
)

func TestProducerTableRoundTrip(t *testing.T) {
	table := newProducerTable()
	for i := range 100 {
		table.put(&producerState{
			id: fmt.Sprintf("p%d", i%40), epoch: int64(i), hash: uint64(i) << 60, at: int64(5000 + i),
			request: request{seq: int64(i * 2), base: int64(i), count: i, timestamp: int64(1000 + i)},
		})
	}
	again, err := decodeProducerTable(table.encode(level.Newest))
	require.NoError(t, err)
	require.Equal(t, table.encode(level.Newest), again.encode(level.Newest))
	for cut := 1; cut < len(table.encode(level.Newest)); cut++ {
		short, err := decodeProducerTable(table.encode(level.Newest)[:cut])
		require.True(t, err != nil || len(short.byID) < 40, "cut at %d", cut)
	}
}

func TestProducerLineRoundTrip(t *testing.T) {
	s := &producerState{id: `key:"a"#`, epoch: 1, hash: 0xdeadbeef, request: request{seq: 2, base: 3, count: 4, timestamp: 5}}
	line := string(s.appendLine(nil))
	require.Equal(t, "#p 1 2 deadbeef 3 4 5 key:\"a\"#\n", line)
	back, err := parseProducerLine([]byte(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "#p ")))
	require.NoError(t, err)
	require.Equal(t, s, back)
	for _, bad := range []string{"", "1 2 3", "x 2 3 4 5 6 id", "1 2 g 4 5 6 id", "1 2 3 4 5 6 id more"} {
		_, err := parseProducerLine([]byte(bad))
		require.Error(t, err, "%q", bad)
	}
}

func TestProducerTableForgetsByAppendTimeAlone(t *testing.T) {
	table := newProducerTable()
	table.put(&producerState{id: "old", at: 0})
	table.put(&producerState{id: "kept", at: 1})
	late := producerRetention.Milliseconds() + 1
	table.put(&producerState{id: "new", at: late})
	assert.Nil(t, table.get("old"))
	assert.NotNil(t, table.get("kept"))
	assert.NotNil(t, table.get("new"))
}

// Keys and producers have bounds of their own, and a partition has a floor where the
// process remembers too many keys.
func TestProducerTableFull(t *testing.T) {
	table := newProducerTable()
	for i := range maxProducers {
		table.put(&producerState{id: fmt.Sprint(i), at: 10})
	}
	require.True(t, table.full("new", 10+producerRetention.Milliseconds()))
	require.False(t, table.full("new", 11+producerRetention.Milliseconds()), "the oldest may go")
	require.False(t, table.full("key:new", 10), "keys have room of their own")
	table.keys.most = 3
	for i := range 3 {
		table.put(&producerState{id: fmt.Sprint("key:", i), at: 10})
	}
	require.True(t, table.full("key:new", 10+keyRetention.Milliseconds()))
	require.False(t, table.full("key:new", 11+keyRetention.Milliseconds()))
	table.put(&producerState{id: "key:new", at: 11 + keyRetention.Milliseconds()})
	require.Len(t, table.byID, maxProducers)
	require.Equal(t, 1, table.keys.len(), "keys are forgotten before producers")
}

// However long the ids are and whatever clients number their requests by, a snapshot with a
// full table is a message that other nodes take, also when 20,000 more were under way.
func TestSnapshotOfAFullTable(t *testing.T) {
	const most = int64(1) << 41
	earlier := make([]request, maxEarlier)
	for i := range earlier {
		earlier[i] = request{seq: math.MaxInt32, base: most, count: 10_000, timestamp: most}
	}
	rows := []struct {
		name, id  string
		earlier   []request
		timestamp int64
	}{
		{"short ids", "", nil, most},
		{"as long as they may be", strings.Repeat("x", 190), nil, most},
		{"of Kafka", "kafka:", earlier, most},
		{"times of long ago", "", nil, math.MinInt64},
	}
	for _, row := range rows[:fewer(len(rows), 4)] {
		t.Run(row.name, func(t *testing.T) {
			r := leaderAlone(t, func() int64 { return most })
			table := r.producers
			put := func(i int, key bool) {
				s := &producerState{
					id: fmt.Sprintf("%s%010d", row.id, i), epoch: math.MinInt64, hash: 1 << 63, at: most, earlier: row.earlier,
					request: request{seq: math.MinInt64, base: most - int64(i)*10_000, count: 10_000, timestamp: row.timestamp},
				}
				if key {
					s.id, s.epoch, s.seq, s.earlier = keyPrefix+s.id, 0, 0, nil
				}
				table.put(s)
			}
			keys, producers := 0, 0
			for ; !table.full("key:new", most); keys++ {
				put(keys, true)
			}
			for ; !table.full("new", most); producers++ {
				put(producers, false)
			}
			t.Logf("%d keys, %d producers", keys, producers)
			for i := range 20_000 {
				put(keys+i, true)
			}
			snapshot, err := r.makeSnapshot()
			require.NoError(t, err)
			require.Less(t, (&raftpb.Message{Type: raftpb.MsgSnap, Snapshot: &snapshot}).Size(), link.MaxBody-64<<10)
		})
	}
}

func TestKeysOfAllReplicasAreBounded(t *testing.T) {
	budget := NewKeyBudget(2*keyFloor + 10)
	full, small := newProducerTable(), newProducerTable()
	full.countIn(budget)
	small.countIn(budget)
	for i := range 2*keyFloor + 9 {
		full.put(&producerState{id: fmt.Sprint("key:", i), at: 10})
		full.put(&producerState{id: fmt.Sprint("other", i), at: 10})
	}
	require.False(t, full.full("key:new", 11))
	small.put(&producerState{id: "key:1", at: 10})
	small.put(&producerState{id: "key:1", at: 11})
	require.EqualValues(t, 2*keyFloor+10, budget.Used(), "one that comes again counts once")
	require.True(t, full.full("key:new", 11))
	require.False(t, full.full("new", 11))
	require.False(t, small.full("key:new", 11), "it has a floor")
	again, err := decodeProducerTable(full.encode(level.Newest))
	require.NoError(t, err)
	again.countIn(budget)
	full.ended()
	full.ended()
	require.EqualValues(t, 2*keyFloor+10, budget.Used())
	again.ended()
	small.put(&producerState{id: "key:2", at: 12 + keyRetention.Milliseconds()})
	require.EqualValues(t, 1, budget.Used())
}

// A table that nobody has any more gives back what it had.
func TestKeysOfALostTable(t *testing.T) {
	budget := NewKeyBudget(10)
	func() {
		lost := newProducerTable()
		lost.countIn(budget)
		lost.put(&producerState{id: "key:1", at: 10})
	}()
	require.Eventually(t, func() bool { runtime.GC(); return budget.Used() == 0 }, 10*time.Second, time.Millisecond)
}

// TestTableThatIsAheadOfItsLog: the table of a snapshot is that of the entries up to some
// index, most of which its receiver applies later. A checkpoint in between says so too, and
// once all are applied nothing of it is written any more.
func TestTableThatIsAheadOfItsLog(t *testing.T) {
	table := newProducerTable()
	table.put(&producerState{id: "p", request: request{seq: 7, count: 1}, at: 5000})
	table.put(&producerState{id: "key:k", request: request{count: 1}, at: 5000})
	sender := &Replica{producers: table, applied: 30}
	require.Equal(t, table.encode(level.Newest), sender.encodeProducers())
	for _, at := range []int{level.Oldest, level.Newest} {
		sender.cfg.Level = func() int { return at }
		received, err := decodeProducerTable(sender.encodeProducersAfter(10))
		require.NoError(t, err)
		require.EqualValues(t, 30, received.asOf)
		require.Equal(t, []string{"p"}, received.ids())

		receiver := &Replica{producers: received, applied: 20}
		again, err := decodeProducerTable(receiver.encodeProducers())
		require.NoError(t, err)
		require.EqualValues(t, 30, again.asOf)
		receiver.applied = 30
		require.Equal(t, table.encode(level.Newest), receiver.encodeProducers())
	}
	empty, err := decodeProducerTable((&Replica{producers: newProducerTable(), applied: 30}).encodeProducersAfter(10))
	require.NoError(t, err)
	require.EqualValues(t, 30, empty.asOf)
	_, err = decodeProducerTable((&producerState{id: asOfID, request: request{seq: -1}}).appendTo([]byte{producerTableFormat}, producerTableFormat))
	require.Error(t, err)
}

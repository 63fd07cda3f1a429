package replica

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// What an internal topic has to write goes first, but only votes go without waiting for the
// writes of the other replicas: an entry that shares its sync with theirs is committed a round
// earlier.
func TestOnlyVotesAreUrgent(t *testing.T) {
	fs := faultfs.New()
	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: protocol.OffsetsTopic, Broker: 1, ReplicaID: 1}
	require.NoError(t, Create(fs, "/log", id, []uint64{1}, 0, logfile.Options{}))
	log, rec, err := logfile.Open(fs, "/log", logfile.Options{})
	require.NoError(t, err)
	r, err := New(Config{
		ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 1 << 20, Now: time.Now, Millis: func() int64 { return 1 }, Logger: slog.New(slog.DiscardHandler),
		Internal: true, ApplyState: func([]logfile.Record) {}, RestoreState: func([]logfile.Record, int64) {},
	}, log, rec)
	require.NoError(t, err)
	var votes, entries int
	work := func() {
		for {
			fx := r.Take()
			if fx.Flush {
				r.Flush()
			}
			for _, w := range fx.Writes {
				assert.True(t, w.Priority)
				if w.mustSync {
					votes++
					assert.True(t, w.Urgent)
				} else if w.LastIndex() > 0 {
					entries++
					assert.False(t, w.Urgent)
				}
				require.NoError(t, w.Batch.Execute())
				r.DiskDone(w.Seq, nil)
			}
			if !fx.Flush && len(fx.Writes) == 0 {
				return
			}
		}
	}
	r.Campaign(false)
	work()
	require.Positive(t, votes)
	entries = 0
	lines := &protocol.Lines{}
	lines.Add(1, protocol.OffsetsTopic, 0, []byte(`["o","g","t",0]`), []byte(`{}`), "COMMIT", nil)
	r.Propose(Proposal{Lines: lines, Done: func(protocol.ProduceResult) {}})
	work()
	require.Equal(t, 1, entries)
}

// A batch has room for the bodies that are copied into it, and for no others. Which are, the
// log says by their size without the entry's header.
func TestRoomForEntries(t *testing.T) {
	for _, size := range []int{100, logfile.LargeBody - entryHeaderSize, logfile.LargeBody - 1, logfile.LargeBody, 900_000} {
		fs := faultfs.New()
		log, err := logfile.Create(fs, "/log", logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", ReplicaID: 1, Broker: 1}, logfile.Checkpoint{}, logfile.Options{})
		require.NoError(t, err)
		const line = "2026-11-22 17:16:03.123 t 0 0 - \"\" PRODUCE\n"
		body := fmt.Appendf(nil, "2026-11-22 17:16:03.123 t 0 0 - \"%0*d\" PRODUCE\n", size-len(line), 1)
		f := logfile.Frame{Index: 1, Term: 1, Kind: logfile.KindRecords, Count: 1, Body: body, BodySum: logfile.Checksum(body)}
		b := &logfile.Batch{}
		require.NoError(t, log.Append(b, []logfile.Frame{f}), size)
		staged := b.Bytes()
		if size >= logfile.LargeBody {
			staged -= size
		}
		room := roomFor([]raftpb.Entry{{Data: make([]byte, entryHeaderSize+size)}})
		assert.GreaterOrEqual(t, room, staged, size)
		assert.Less(t, room, staged+3*frameBytes+size/256, size)
		require.NoError(t, log.Close())
	}
	assert.Equal(t, 2*frameBytes, roomFor([]raftpb.Entry{{}}))
}

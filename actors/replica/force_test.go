package replica

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

// The survivor's log ends with changes of membership that lost members may have
// committed or not. They are passed over, then and at every later start.
func TestForcedSurvivorPassesOverChangesInItsLog(t *testing.T) {
	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", Broker: 2, ReplicaID: 2}
	fs, dir := logfile.OSFS{}, filepath.Join(t.TempDir(), "t-0")
	require.NoError(t, Create(fs, dir, id, []uint64{1, 2, 3}, 0, logfile.Options{}))
	log, _, err := logfile.Open(fs, dir, logfile.Options{})
	require.NoError(t, err)
	b := &logfile.Batch{}
	for i, cc := range []raftpb.ConfChangeV2{
		single(raftpb.ConfChangeAddLearnerNode, 4),
		{Changes: []raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode, NodeID: 4}, {Type: raftpb.ConfChangeRemoveNode, NodeID: 2}}},
	} {
		data, err := cc.Marshal()
		require.NoError(t, err)
		f, err := frameOf(&raftpb.Entry{Type: raftpb.EntryConfChangeV2, Index: uint64(firstLogIndex + 1 + i), Term: 7, Data: data}, 0, 1)
		require.NoError(t, err)
		require.NoError(t, log.Append(b, []logfile.Frame{f}))
	}
	require.NoError(t, b.Execute())
	require.NoError(t, log.Close())

	c := Inspect(dir, id, "")
	require.NoError(t, c.Err)
	require.Len(t, c.Confs, 3)
	require.NoError(t, ForceSoleVoter(c, 11, ""))

	c = Inspect(dir, id, "")
	require.NoError(t, c.Err)
	assert.Equal(t, []raftpb.ConfState{{Voters: []uint64{2}}}, c.Confs)
	assert.EqualValues(t, 11+forcedTermStep+1, c.LastTerm, "beyond all that are known, and that were lost")
	assert.EqualValues(t, firstLogIndex+3, c.LastIndex)
	for _, internal := range []bool{true, false} { // internal topics replay everything
		log, rec, err := logfile.Open(fs, dir, logfile.Options{})
		require.NoError(t, err)
		rep, err := New(Config{
			Internal: internal, ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 1 << 20, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		}, log, rec)
		require.NoError(t, err)
		rep.Campaign(false)
		require.NoError(t, rep.runAlone())
		require.True(t, rep.leading.serving, "it needs nobody")
		assert.Equal(t, []uint64{2}, rep.storage.conf.Voters)
		require.NoError(t, log.Close())
	}
}

// A survivor that was catching up has a table of producers that knows more entries than its
// log holds. Those are lost, and others get their indexes: they are to be known too.
func TestForcedSurvivorKnowsProducersOfNewEntries(t *testing.T) {
	id := logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "t", Broker: 2, ReplicaID: 2}
	dir := filepath.Join(t.TempDir(), "t-0")
	require.NoError(t, Create(logfile.OSFS{}, dir, id, []uint64{1, 2, 3}, 0, logfile.Options{}))
	log, rec, err := logfile.Open(logfile.OSFS{}, dir, logfile.Options{})
	require.NoError(t, err)
	rep, err := New(Config{
		ElectionTicks: 10, HeartbeatTicks: 1, MaxBatchBytes: 1 << 20, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}, log, rec)
	require.NoError(t, err)
	rep.producers.asOf = 1000
	require.NoError(t, rep.becomeSoleVoter())
	assert.Equal(t, log.LastIndex(), rep.producers.asOf)
	require.NoError(t, log.Close())
}

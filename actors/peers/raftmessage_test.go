package peers

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"
)

var raftMessages = map[string]raftpb.Message{
	"empty":     {},
	"heartbeat": {Type: raftpb.MsgHeartbeat, To: 1, From: 2, Term: 3, Commit: 4, Context: []byte("c")},
	"rejection": {Type: raftpb.MsgAppResp, To: math.MaxUint64, From: 1, Term: 300, LogTerm: 2, Index: 5, Reject: true, RejectHint: 4},
	"append": {Type: raftpb.MsgApp, To: 1, From: 2, Term: 70_000, LogTerm: 3, Index: 9, Commit: 8, Entries: []raftpb.Entry{
		{Term: 3, Index: 10},
		{Term: 3, Index: 11, Data: []byte{}},
		{Term: math.MaxUint64, Index: math.MaxUint64, Data: []byte("data")},
		{Term: 4, Index: 13, Type: raftpb.EntryConfChangeV2, Data: bytes.Repeat([]byte("x"), 70_000)},
	}},
	"snapshot": {Type: raftpb.MsgSnap, To: 1, Snapshot: &raftpb.Snapshot{
		Data: []byte("d"), Metadata: raftpb.SnapshotMetadata{Index: 4, Term: 2, ConfState: raftpb.ConfState{Voters: []uint64{1, 2}, AutoLeave: true}},
	}},
}

// Nodes of earlier versions use raft's library on the other side.
func TestRaftMessagesAreThoseOfRaftsLibrary(t *testing.T) {
	for name, m := range raftMessages {
		t.Run(name, func(t *testing.T) {
			parts, err := encodeRaft(&m)
			require.NoError(t, err)
			mine := bytes.Join(parts, nil)
			var theirs raftpb.Message
			require.NoError(t, theirs.Unmarshal(mine))
			assert.Equal(t, m, theirs)
			encoded, err := m.Marshal()
			require.NoError(t, err)
			for _, b := range [][]byte{mine, encoded} {
				got, err := decodeRaft(b)
				require.NoError(t, err)
				assert.Equal(t, m, got)
				for n := range b {
					if n < 200 || n > len(b)-200 {
						_, _ = decodeRaft(b[:n])
					}
				}
			}
		})
	}
}

func FuzzRaftMessage(f *testing.F) {
	for _, m := range raftMessages {
		b, err := m.Marshal()
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeRaft(b)
		if err != nil {
			return
		}
		parts, err := encodeRaft(&m)
		require.NoError(t, err)
		again, err := decodeRaft(bytes.Join(parts, nil))
		require.NoError(t, err)
		assert.Equal(t, m, again)
	})
}

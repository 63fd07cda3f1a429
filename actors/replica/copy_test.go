package replica

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/logfile"
)

func voters(ids ...uint64) raftpb.ConfState { return raftpb.ConfState{Voters: ids} }

func TestLongestCopy(t *testing.T) {
	of := func(id, term, index uint64) Copy {
		return Copy{ReplicaID: id, LastTerm: term, LastIndex: index, Confs: []raftpb.ConfState{voters(1, 2, 3)}}
	}
	broken, newcomer := of(7, 9, 900), of(8, 9, 900)
	broken.Err, newcomer.Confs = errors.New("damaged"), []raftpb.ConfState{{}}
	tests := map[string]struct {
		copies []Copy
		want   uint64
	}{
		"the longest of one term":              {[]Copy{of(1, 3, 10), of(2, 3, 12), of(3, 3, 11)}, 2},
		"a newer term counts more than length": {[]Copy{of(1, 3, 100), of(2, 4, 12)}, 2},
		"not one that cannot be read":          {[]Copy{broken, of(1, 1, 1)}, 1},
		"not one that never had a membership":  {[]Copy{newcomer, of(1, 1, 1)}, 1},
		"none":                                 {[]Copy{broken, newcomer}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got uint64
			if c := Longest(tt.copies); c != nil {
				got = c.ReplicaID
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// Whether what is there can elect a leader depends on every membership that
// may be in force: the one of the checkpoint and all that follow it in the log.
func TestQuorumOfMemberships(t *testing.T) {
	there := func(ids ...uint64) map[uint64]bool {
		m := map[uint64]bool{}
		for _, id := range ids {
			m[id] = true
		}
		return m
	}
	replace := raftpb.ConfChangeV2{Changes: []raftpb.ConfChangeSingle{
		{Type: raftpb.ConfChangeAddNode, NodeID: 4}, {Type: raftpb.ConfChangeRemoveNode, NodeID: 3},
	}}
	learner := single(raftpb.ConfChangeAddLearnerNode, 4)
	leave := raftpb.ConfChangeV2{}
	tests := map[string]struct {
		conf    raftpb.ConfState
		changes []raftpb.ConfChangeV2
		there   map[uint64]bool
		want    bool
	}{
		"two of three":                       {voters(1, 2, 3), nil, there(1, 3), true},
		"one of three":                       {voters(1, 2, 3), nil, there(1), false},
		"sole":                               {voters(2), nil, there(2), true},
		"a learner does not count":           {voters(1, 2, 3), []raftpb.ConfChangeV2{learner}, there(1, 4), false},
		"joint, both halves there":           {voters(1, 2, 3), []raftpb.ConfChangeV2{learner, replace}, there(1, 2), true},
		"joint, the old half is not":         {voters(1, 2, 3), []raftpb.ConfChangeV2{learner, replace}, there(1, 4), false},
		"left: the checkpoint still counts":  {voters(1, 2, 3), []raftpb.ConfChangeV2{learner, replace, leave}, there(1, 4), false},
		"left, and enough of all":            {voters(1, 2, 3), []raftpb.ConfChangeV2{learner, replace, leave}, there(1, 2), true},
		"joint in the checkpoint, half gone": {raftpb.ConfState{Voters: []uint64{1, 2, 4}, VotersOutgoing: []uint64{1, 2, 3}}, nil, there(2, 4), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conf, err := tt.conf.Marshal()
			require.NoError(t, err)
			found := &logfile.Inspection{Recovered: logfile.Recovered{Checkpoint: logfile.Checkpoint{ConfState: conf}}}
			for i, cc := range tt.changes {
				data, err := cc.Marshal()
				require.NoError(t, err)
				f, err := frameOf(&raftpb.Entry{Type: raftpb.EntryConfChangeV2, Index: uint64(i + 5), Term: 2, Data: data}, 0, 0)
				require.NoError(t, err)
				found.Changes = append(found.Changes, f)
			}
			confs, err := confStates(found)
			require.NoError(t, err)
			c := Copy{Confs: confs}
			assert.Equal(t, tt.want, c.Quorum(tt.there))
		})
	}
}

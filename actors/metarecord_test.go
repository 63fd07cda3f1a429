package actors

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// applier is a state machine of an internal topic.
type applier interface {
	apply(stateRecord) error
	dump() string
}

// replay applies recs to a fresh state and returns its dump.
func replay(t testing.TB, fresh applier, recs []stateRecord) string {
	t.Helper()
	for _, rec := range recs {
		require.NoError(t, fresh.apply(rec))
	}
	return fresh.dump()
}

// compacted keeps the newest record per key, as log compaction does, and
// drops tombstones if asked to.
func compacted(recs []stateRecord, dropTombstones bool) []stateRecord {
	newest := map[string]int{}
	for i, rec := range recs {
		newest[string(rec.Key)] = i
	}
	var kept []stateRecord
	for i, rec := range recs {
		if newest[string(rec.Key)] == i && (rec.Value != nil || !dropTombstones) {
			kept = append(kept, rec)
		}
	}
	return kept
}

// requireReplays checks that a live state equals what any reader of its log
// arrives at, compacted or not.
func requireReplays(t testing.TB, live applier, fresh func() applier, recs []stateRecord) {
	t.Helper()
	require.Equal(t, live.dump(), replay(t, fresh(), recs), "replay of the whole log")
	require.Equal(t, live.dump(), replay(t, fresh(), compacted(recs, false)), "replay of the compacted log")
	newest := compacted(recs, true)
	require.Equal(t, live.dump(), replay(t, fresh(), newest), "replay without tombstones")
	slices.SortFunc(newest, func(a, b stateRecord) int { return bytes.Compare(a.Key, b.Key) })
	require.Equal(t, live.dump(), replay(t, fresh(), newest), "newest records in the order of their keys")
}

func TestStateRecordsAsLines(t *testing.T) {
	recs := []stateRecord{
		{actionCommit, stateKey(keyOffset, "g", "t1", 3), []byte(`{"v":1,"metadata":"a <b>"}`)},
		{Action: actionDropOffset, Key: stateKey(keyOffset, "g", "t1", 3)},
	}
	var l protocol.Lines
	appendStateLines(&l, protocol.OffsetsTopic, 7, 1795367763123, recs)
	require.Equal(t, 2, l.Len())
	assert.Equal(t, ""+
		`2026-11-22 17:16:03.123 __consumer_offsets 7 41 ["o","g","t1",3] {"v":1,"metadata":"a <b>"} COMMIT`+"\n"+
		`2026-11-22 17:16:03.123 __consumer_offsets 7 42 ["o","g","t1",3] - DROP_OFFSET`+"\n",
		string(l.AppendNumbered(nil, 41)))
}

func TestStateRecordOfTokens(t *testing.T) {
	tests := []struct {
		name               string
		key, value, action string
		want               stateRecord
		err                string
	}{
		{"value", `["g","x"]`, `{"v":1}`, "JOIN", stateRecord{"JOIN", []byte(`["g","x"]`), []byte(`{"v":1}`)}, ""},
		{"tombstone", `["g","x"]`, `-`, "DELETE_GROUP", stateRecord{"DELETE_GROUP", []byte(`["g","x"]`), nil}, ""},
		{"no key", `-`, `{"v":1}`, "JOIN", stateRecord{}, "not JSON"},
		{"text value", `["g","x"]`, `t"a"`, "JOIN", stateRecord{}, "not JSON"},
		{"no action", `["g","x"]`, `{}`, "", stateRecord{}, "no action"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec, err := stateRecordOf([]byte(tt.key), []byte(tt.value), []byte(tt.action))
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, rec)
		})
	}
}

func TestStateKeysSplit(t *testing.T) {
	kind, args, err := splitStateKey(stateKey(keyOffset, "group.1", "id", 12))
	require.NoError(t, err)
	assert.Equal(t, keyOffset, kind)
	assert.Equal(t, []string{"group.1", "id", "12"}, args)
	for _, bad := range []string{``, `[]`, `{}`, `"g"`, `["g"`, `null`} {
		_, _, err := splitStateKey([]byte(bad))
		assert.Error(t, err, bad)
	}
}

// FuzzStateApply feeds both state machines with arbitrary records: they may
// refuse them, but neither panic nor change when they do.
func FuzzStateApply(f *testing.F) {
	f.Add("JOIN", `["g","x"]`, `{"v":1,"generation":1,"members":[{"id":1,"topics":["t"],"session_ms":1}],"topics":[{"id":"t","name":"t","owners":[1]}],"created_at":1,"at":1}`)
	f.Add("COMMIT", `["o","x","t",0]`, `{"v":1,"offset":1,"topic":"t","at":1}`)
	f.Add("CREATE_TOPIC", `["topic","t"]`, `{"v":1,"topic":{"name":"a","partitions":1}}`)
	f.Add("PLACE_PARTITION", `["partition","t",0]`, `{"v":1,"replicas":[{"broker":1,"id":1}],"next_replica_id":2}`)
	f.Add("CONSUMER_IDS", `["consumer_ids"]`, `{"v":1,"next":5}`)
	f.Add("REGISTER_BROKER", `["broker",1]`, `{"v":1,"id":1}`)
	f.Fuzz(func(t *testing.T, action, key, value string) {
		rec := stateRecord{Action: action, Key: []byte(key), Value: []byte(value)}
		if value == "" {
			rec.Value = nil
		}
		for _, s := range []applier{newClusterState(), newGroupState("c", "x")} {
			before := s.dump()
			if s.apply(rec) != nil {
				assert.Equal(t, before, s.dump())
			}
		}
	})
}

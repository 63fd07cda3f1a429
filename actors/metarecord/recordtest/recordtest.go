package recordtest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/actors/metarecord"
)

// StateMachine is the state that an internal topic holds. Dump writes all of it
// in a canonical form: two states are equal exactly if their dumps are.
type StateMachine interface {
	Apply(metarecord.Record) error
	Dump() string
}

// replay applies recs to a fresh state and returns its dump.
func replay(t testing.TB, fresh StateMachine, recs []metarecord.Record) string {
	t.Helper()
	for _, rec := range recs {
		require.NoError(t, fresh.Apply(rec))
	}
	return fresh.Dump()
}

// Compacted keeps the newest record per key, as log compaction does, and
// drops tombstones if asked to.
func Compacted(recs []metarecord.Record, dropTombstones bool) []metarecord.Record {
	newest := map[string]int{}
	for i, rec := range recs {
		newest[string(rec.Key)] = i
	}
	var kept []metarecord.Record
	for i, rec := range recs {
		if newest[string(rec.Key)] == i && (rec.Value != nil || !dropTombstones) {
			kept = append(kept, rec)
		}
	}
	return kept
}

// RequireReplays checks that a live state equals what any reader of its log
// arrives at, compacted or not.
func RequireReplays(t testing.TB, live StateMachine, fresh func() StateMachine, recs []metarecord.Record) {
	t.Helper()
	require.Equal(t, live.Dump(), replay(t, fresh(), recs), "replay of the whole log")
	require.Equal(t, live.Dump(), replay(t, fresh(), Compacted(recs, false)), "replay of the compacted log")
	newest := Compacted(recs, true)
	require.Equal(t, live.Dump(), replay(t, fresh(), newest), "replay without tombstones")
	slices.SortFunc(newest, func(a, b metarecord.Record) int { return bytes.Compare(a.Key, b.Key) })
	require.Equal(t, live.Dump(), replay(t, fresh(), newest), "newest records in the order of their keys")
}

package catalog

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/level/leveltest"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Whoever adds a record says from which level on it is written.
func TestEveryRecordHasALevel(t *testing.T) {
	for action := range clusterActions {
		assert.Contains(t, level.Formats, "metadata "+action)
	}
}

// So does whoever adds a field: older programs refuse what they do not know.
func TestEveryFieldHasALevel(t *testing.T) {
	leveltest.Fields(t, "fields.txt", map[string]any{
		"cluster": clusterValue{}, "broker": brokerValue{}, "topic": topicValue{}, "partition": partitionValue{}, "consumer_ids": consumerIDsValue{},
		"token": tokenValue{}, "source": sourceValue{}, "subscription": subscriptionValue{}, "resize": resizeValue{},
		"node": nodeValue{}, "placed": placedValue{}, "task": taskValue{}, "level": levelValue{}, "seal": sealValue{},
	})
}

// The level is raised when the last node offers more, and not while one is not heard of,
// runs an older program or holds it.
func TestLevelIsRaisedWhenAllNodesOfferIt(t *testing.T) {
	s := New()
	offers := map[uint64]Offer{}
	for _, n := range []FleetNode{{ID: 1, UUID: "a", Name: "a"}, {ID: 2, UUID: "b", Name: "b"}, {ID: 3, UUID: "c", Name: "c", Gone: true}} {
		require.NoError(t, s.Apply(nodeRecord(n)))
	}
	raise := func(asked bool) ([]metarecord.Record, *protocol.Error) {
		return s.DecideRaise(func(id uint64) Offer { return offers[id] }, asked)
	}
	refused := func(why string) {
		t.Helper()
		recs, err := raise(false)
		require.Nil(t, err)
		assert.Empty(t, recs)
		recs, err = raise(true)
		require.NotNil(t, err)
		assert.Empty(t, recs)
		assert.Contains(t, err.Message, why)
	}
	refused("node 1 (a) is not heard of")
	offers[1] = Offer{Newest: level.Newest, Version: "new"}
	refused("node 2 (b) is not heard of")
	offers[2] = Offer{Newest: level.Oldest, Version: "old"}
	refused("node 2 (b) runs version old, which goes up to level 1")
	assert.Equal(t, level.Oldest, s.Level())

	offers[2] = Offer{Newest: level.Newest, Holds: true}
	recs, err := raise(false)
	require.Nil(t, err)
	assert.Empty(t, recs, "it is held")
	recs, err = raise(true)
	require.Nil(t, err)
	require.Len(t, recs, 1)
	require.NoError(t, s.Apply(recs[0]))
	assert.Equal(t, level.Newest, s.Level())
	assert.Contains(t, s.Dump(), "level 4\n")

	offers[1] = Offer{}
	recs, err = raise(true)
	require.NotNil(t, err, "it cannot be told whether there is more")
	assert.Empty(t, recs)
	assert.Equal(t, []uint64{1, 2, 3}, slices.Sorted(maps.Keys(s.FleetNodes())))
}

// A record of a level that this program does not know changes nothing, and says what to do.
func TestLevelOfNewerProgramsIsRefused(t *testing.T) {
	s := New()
	err := s.Apply(metarecord.Record{Action: actionRaiseLevel, Key: metarecord.Key(keyLevel), Value: []byte(`{"v":1,"level":5}`)})
	require.ErrorContains(t, err, "the fleet is at level 5, this program knows levels 1 to 4")
	assert.Equal(t, level.Oldest, s.Level())
	require.NoError(t, s.Apply(metarecord.Record{Action: actionRaiseLevel, Key: metarecord.Key(keyLevel), Value: []byte(`{"v":1,"level":2}`)}))
	require.NoError(t, s.Apply(metarecord.Record{Action: actionRaiseLevel, Key: metarecord.Key(keyLevel), Value: []byte(`{"v":1,"level":1}`)}))
	assert.Equal(t, 2, s.Level(), "it never goes back")
}

package protocol

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Ids say by which number of partitions their records were placed, unless it is the
// topic's first; a client's own id comes back, whatever characters it has.
func TestPlacementsInIDs(t *testing.T) {
	for _, id := range []string{"", "a", "key:x", "a·b"[:1], "12", "kafka:7"} {
		first := Placement{Partitions: 3, First: true}
		assert.Equal(t, id, first.ID(id))
		assert.Equal(t, 0, PlacedBy(first.ID(id)))
		assert.Equal(t, id, ClientID(first.ID(id)))
		later := Placement{Partitions: 12}
		assert.Equal(t, id+"·12", later.ID(id))
		assert.Equal(t, 12, PlacedBy(later.ID(id)))
		assert.Equal(t, id, ClientID(later.ID(id)))
	}
	assert.Equal(t, 0, PlacedBy("a·x"), "what is no number")
	assert.Equal(t, 5, PlacedBy("a·4·5"), "the last one counts")
	assert.Equal(t, "a·4", ClientID("a·4·5"))
}

// A topic that never had another number of partitions asks for no retries; one that had
// asks for as long as one of the latest change may come.
func TestRetriesAfterPartitionsWereAdded(t *testing.T) {
	topic := &Topic{Partitions: 3}
	assert.Equal(t, Placement{Partitions: 3, First: true}, topic.Placement())
	assert.False(t, topic.MayBeRetry(0))
	topic = &Topic{Partitions: 9, Earlier: []Placement{{Partitions: 3, Until: 1000, First: true}, {Partitions: 6, Until: 5000}}}
	assert.Equal(t, Placement{Partitions: 9}, topic.Placement())
	assert.True(t, topic.MayBeRetry(5000))
	assert.True(t, topic.MayBeRetry(5000+PlacementWindowMs-1))
	assert.False(t, topic.MayBeRetry(5000+PlacementWindowMs))
}

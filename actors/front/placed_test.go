package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

// A request with an id is placed by the first number of partitions by which a partition
// knows it; one that is refused by what an earlier number has left is not new either.
func TestPlacedAsBefore(t *testing.T) {
	w := newWorld(t)
	q, leaders := w.withTopic("q", 5)
	now := w.opt.Millis()
	first := protocol.Placement{Partitions: 1, Until: now - 10, First: true}
	second := protocol.Placement{Partitions: 2, Until: now - 5}
	q.Earlier = []protocol.Placement{first, second}
	knows := map[string]protocol.Knowledge{}
	asked := 0
	for _, l := range leaders {
		l.ask = func(q routing.Question) {
			m := q.(*routing.AskPlaced)
			asked++
			assert.Equal(t, 5, m.Partitions)
			m.Reply.Put(routing.Placed{Known: knows[m.ID]})
		}
	}
	place := func(id string) (protocol.Placement, bool) {
		by, again, err := w.Placed(q, &protocol.PlaceQuestion{ID: id, Partitions: func(of int) []int {
			return []int{0, of - 1}[:min(of, 2)]
		}}, time.Now().Add(patience))
		require.Nil(t, err)
		return by, again
	}
	by, again := place("new")
	assert.Equal(t, protocol.Placement{Partitions: 5}, by)
	assert.False(t, again)
	assert.Equal(t, 3, asked, "one by the first number, two by the second")

	knows["a"], knows[second.ID("a")] = protocol.KnownOther, protocol.KnownSame
	by, again = place("a")
	assert.Equal(t, second, by)
	assert.True(t, again)

	knows["b"] = protocol.KnownOther
	by, again = place("b")
	assert.Equal(t, first, by)
	assert.True(t, again)

	leaders[1].resign()
	_, _, err := w.Placed(q, &protocol.PlaceQuestion{ID: "c", Partitions: func(int) []int { return []int{1} }}, time.Now().Add(50*time.Millisecond))
	require.NotNil(t, err, "nobody can say that it is new")
	assert.Equal(t, protocol.OutcomeNone, err.Outcome)

	asked = 0
	q.Earlier = []protocol.Placement{{Partitions: 2, Until: now - protocol.PlacementWindowMs, First: true}}
	by, again = place("a")
	assert.Equal(t, protocol.Placement{Partitions: 5}, by)
	assert.False(t, again)
	assert.Zero(t, asked, "nobody remembers that long")
}

package link

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Programs meet where the level of the fleet is one that both know; whichever of the two
// has not heard yet that it was raised.
func TestProgramsMeetAtTheLevelOfTheFleet(t *testing.T) {
	node := func(name string, oldest, newest, level int) Identity {
		return Identity{Fleet: "f", Node: 1, UUID: name, Name: name, Incarnation: 1, Oldest: oldest, MinFormat: max(oldest, level), MaxFormat: newest, Level: level}
	}
	unaware := Identity{Fleet: "f", Node: 2, UUID: "u", Name: "u", Incarnation: 1, MinFormat: 1, MaxFormat: 1}
	for _, tt := range []struct {
		what  string
		a, b  Identity
		wrong string
	}{
		{"before there were levels, and now", node("a", 1, 2, 1), unaware, ""},
		{"the same after the raise", node("a", 1, 2, 2), unaware, "no format is common to both"},
		{"one that has not heard of the raise", node("a", 1, 2, 2), node("b", 1, 2, 1), ""},
		{"the next version, before the raise", node("a", 1, 2, 2), node("b", 2, 3, 2), ""},
		{"the next version, whose node was stopped before the last raise", node("a", 1, 2, 2), node("b", 2, 3, 1), ""},
		{"a version too new", node("a", 1, 3, 1), node("b", 2, 3, 1), `node "b" (version ) works from level 2 on, and the fleet is at level 1`},
		{"a version too new that joins", node("a", 1, 3, 1), node("b", 2, 3, 0), `node "b" (version ) works from level 2 on, and the fleet is at level 1`},
		{"two that have no fleet yet", node("a", 2, 3, 0), node("b", 1, 2, 0), ""},
	} {
		for _, pair := range [][2]Identity{{tt.a, tt.b}, {tt.b, tt.a}} {
			err := meet(pair[0], pair[1], false)
			if tt.wrong == "" {
				require.NoError(t, err, tt.what)
				continue
			}
			require.ErrorContains(t, err, tt.wrong, tt.what)
			var refused *Refusal
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, ReasonFormat, refused.Reason)
		}
	}
}

package datadir

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWitnessesRecognizeAnOlderCopy(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		before, opens uint64
		wiped         bool
		answer        Witness
		floor         uint64
	}{
		"knows what the ledger says":                 {7, 8, false, Witness{Asked: true, Known: 7}, 0},
		"knows more than the ledger said":            {5, 6, false, Witness{Asked: true, Known: 7}, 7},
		"knows as much as this start has made of it": {6, 7, false, Witness{Asked: true, Known: 7}, 8},
		"knows more, after it was asked to note":     {5, 6, false, Witness{Known: 9}, 9},
		"knew as much, after it was asked to note":   {7, 8, false, Witness{Known: 8}, 0},
		"a new directory is beyond what is known":    {0, 8, true, Witness{Asked: true, Known: 7}, 0},
		"a new directory is not beyond it":           {0, 7, true, Witness{Asked: true, Known: 7}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			w := NewWitnesses(1, c.opens, c.before, c.wiped, nil, now)
			c.answer.Opens = c.opens
			assert.Equal(t, c.floor, w.Heard(&c.answer))
		})
	}
}

func TestWitnessesAreWaitedFor(t *testing.T) {
	now, others := time.Unix(1000, 0), []uint64{2, 3}
	require.True(t, NewWitnesses(1, 1, 0, false, nil, now).AllHaveSaid(others, now), "its first directory")
	w := NewWitnesses(1, 8, 7, false, nil, now)
	require.False(t, w.AllHaveSaid(others, now))
	require.Zero(t, w.Heard(&Witness{Node: 2, Opens: 8, Asked: true, Known: 7}))
	require.True(t, w.HasSaid(2))
	require.False(t, w.AllHaveSaid(others, now))
	require.True(t, w.AllHaveSaid(others, now.Add(WitnessPatience)), "a node that is away is not waited for")
	require.Zero(t, w.Heard(&Witness{Node: 3, Opens: 8, Asked: true, Known: 3}))
	require.True(t, w.AllHaveSaid(others, now))

	require.False(t, w.Enough(3), "only itself")
	require.Zero(t, w.Heard(&Witness{Node: 3, Opens: 8, Noted: []int{3}, Known: 7}))
	require.True(t, w.Enough(3))
	require.False(t, w.Enough(4))
	require.True(t, NewWitnesses(1, 8, 7, false, []int{1, 2}, now).Enough(3), "noted in this process")
}

// What one broker hears of another is for all that are about to run beside it.
func TestAllBrokersThatStartLearn(t *testing.T) {
	all := map[int]*Witnesses{1: {}, 2: {}}
	LearnAll(all, 3, 7)
	for _, w := range all {
		require.Equal(t, map[int]uint64{3: 7}, w.Learned())
	}
}

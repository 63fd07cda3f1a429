package forced

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/datadir"
	"ottla/protocol"
)

// Whether a cluster may be started: are there enough copies of its metadata to
// elect a leader? A copy that cannot be read counts, its replica says what is
// wrong with it; one that is missing does not.
func TestHasMetadataQuorum(t *testing.T) {
	tests := map[string]struct {
		accident func(h *byHand)
		want     bool
	}{
		"all there":                 {func(*byHand) {}, true},
		"a broker lost":             {func(h *byHand) { h.lose(2) }, true},
		"two brokers lost":          {func(h *byHand) { h.lose(1, 3) }, false},
		"two copies missing":        {func(h *byHand) { h.remove(protocol.MetadataTopic, 1, 3) }, false},
		"two copies damaged":        {func(h *byHand) { h.damage(protocol.MetadataTopic, 1, 3) }, true},
		"one damaged, one missing":  {func(h *byHand) { h.damage(protocol.MetadataTopic, 1); h.remove(protocol.MetadataTopic, 2) }, true},
		"all damaged":               {func(h *byHand) { h.damage(protocol.MetadataTopic, 1, 2, 3) }, true},
		"two brokers lost, one bad": {func(h *byHand) { h.damage(protocol.MetadataTopic, 1); h.lose(2, 3) }, true},
		"another replica's log counts as missing": {func(h *byHand) {
			h.remove(protocol.MetadataTopic, 1, 2)
			require.NoError(h.t, os.CopyFS(h.log(1, protocol.MetadataTopic), os.DirFS(h.log(3, protocol.MetadataTopic))))
		}, false},
		"two ledgers without it":           {func(h *byHand) { h.forget(1, 2); h.remove(protocol.MetadataTopic, 1, 2) }, false},
		"no ledger has it":                 {func(h *byHand) { h.forget(1, 2, 3) }, true},
		"no ledger has it, a founder lost": {func(h *byHand) { h.forget(2, 3); h.lose(1) }, true},
		"no ledger has it, two lost":       {func(h *byHand) { h.forget(3); h.lose(1, 2) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newByHand(t)
			tt.accident(h)
			m, found, err := datadir.Inspect(h.dir)
			require.NoError(t, err)
			p := &datadir.ClusterPlaces{Manifest: h.manifest}
			for n := 1; n <= 3; n++ {
				p.Brokers = append(p.Brokers, m.Place(found, h.manifest, n))
			}
			ledgers, err := m.LedgersOf(h.manifest)
			require.NoError(t, err)
			assert.Equal(t, tt.want, HasMetadataQuorum(p, ledgers))
		})
	}
}

// forget takes the metadata out of brokers' ledgers.
func (h *byHand) forget(brokers ...int) {
	for _, n := range brokers {
		l := h.ledger(n)
		r, ok := l.Live(protocol.MetadataTopic, 0)
		require.True(h.t, ok)
		require.NoError(h.t, l.Mark(datadir.ReplicaDeleted, r.Key()))
	}
}

func TestSoleVoter(t *testing.T) {
	h := newByHand(t)
	h.lose(1, 2)
	require.NoError(t, h.plan().Execute())
	for _, topic := range []string{protocol.MetadataTopic, "kept"} {
		conf := h.membership(3, topic)
		sole, err := SoleVoter(conf, h.liveOn(3, topic))
		require.NoError(t, err)
		assert.True(t, sole)
		sole, err = SoleVoter(conf, h.liveOn(3, topic)+1)
		require.NoError(t, err)
		assert.False(t, sole, "another replica is")
	}
	sole, err := SoleVoter(newByHand(t).membership(3, "kept"), 3)
	require.NoError(t, err)
	assert.False(t, sole, "one of three")
	_, err = SoleVoter([]byte{0xff}, 3)
	require.Error(t, err)
}

package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// A node that has not heard of a change at another one does not refuse by what it knows, and
// does not say that something is so already.
func TestWhatIsDecidedOnOldMetadataIsDecidedAgain(t *testing.T) {
	w := newWorld(t)
	w.opt.MaxTokens = 10
	host := w.fleet.(*fakeHost)
	here := w.cluster.Control.(*fakeControl)
	secret := protocol.TokenSecret{Hash: protocol.TokenHash{1}}
	elsewhere := func(decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) {
		host.settle = func() {
			host.settle = func() {}
			require.Nil(t, here.Change(time.Time{}, decide))
		}
	}
	elsewhere(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideCreateToken(&protocol.TokenSpec{Name: "made"}, secret, 1, 10)
		return recs, err
	})
	require.Nil(t, w.DeleteToken(t.Context(), "made"), "another node has made it")
	require.Empty(t, here.state.Tokens())

	_, err := w.CreateToken(t.Context(), &protocol.TokenSpec{Name: "made"}, secret)
	require.Nil(t, err)
	elsewhere(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) { return s.DecideDeleteToken("made") })
	_, err = w.CreateToken(t.Context(), &protocol.TokenSpec{Name: "made"}, secret)
	require.Nil(t, err, "another node has deleted it")

	err = w.DeleteToken(t.Context(), "none")
	require.Equal(t, protocol.CodeTokenNotFound, err.Code, "what does not exist does not exist")

	host.unknown = protocol.Errorf(protocol.CodeNotEnoughReplicas, "nobody to ask")
	err = w.DeleteToken(t.Context(), "none")
	require.Equal(t, protocol.CodeNotEnoughReplicas, err.Code, "nor is it said to be so without asking")
}

package front

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// A change of the number of brokers that is over at another node is not said to be under way:
// what is known here is brought up to date first.
func TestResizeKnowsWhatIsOver(t *testing.T) {
	w := newWorld(t)
	host := w.fleetService.host.(*fakeHost)
	_, err := w.ResizeCluster(t.Context(), protocol.DefaultCluster, 3)
	require.Nil(t, err)
	require.Equal(t, 1, host.resized)
	host.unknown = protocol.Errorf(protocol.CodeNotEnoughReplicas, "nobody to ask")
	_, err = w.ResizeCluster(t.Context(), protocol.DefaultCluster, 3)
	require.Equal(t, host.unknown, err)
	require.Equal(t, 1, host.resized)
}

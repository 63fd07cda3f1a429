package linktest

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressesAreFreeAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		address := FreeAddress(t)
		require.False(t, seen[address], address)
		seen[address] = true
		ln, err := net.Listen("tcp", address)
		require.NoError(t, err)
		require.NoError(t, ln.Close())
	}
}

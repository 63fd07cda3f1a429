package access

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// An address keeps what it has used over connections, and each has a quota of its own.
func TestAddressesKeepWhatTheyHaveUsed(t *testing.T) {
	as := NewAddresses(protocol.TokenQuota{Requests: 1})
	now := time.Now()
	first, second := as.Join("a"), as.Join("a")
	require.Same(t, first, second)
	require.Nil(t, first.Request(now))
	require.NotNil(t, second.Request(now))
	as.Leave("a")
	as.Leave("a")
	require.NotNil(t, as.Join("a").Request(now), "it has connected anew")
	require.Nil(t, as.Join("b").Request(now))
	require.Nil(t, as.Join("a").Request(now.Add(time.Second)))
}

// However many addresses come, a bounded number is remembered, those with connections
// among them: who left first is forgotten first.
func TestAddressesAreBounded(t *testing.T) {
	as := NewAddresses(protocol.TokenQuota{Requests: 1})
	now := time.Now()
	require.Nil(t, as.Join("stays").Request(now))
	for i := range 3 * maxIdleAddresses {
		name := fmt.Sprint(i)
		require.Nil(t, as.Join(name).Request(now))
		as.Leave(name)
	}
	assert.Len(t, as.known, maxIdleAddresses+1)
	assert.Equal(t, maxIdleAddresses, as.idle.Len())
	assert.NotNil(t, as.Join("stays").Request(now))
	assert.NotNil(t, as.Join(fmt.Sprint(3*maxIdleAddresses-1)).Request(now), "the last one")
	assert.Nil(t, as.Join("0").Request(now), "it is forgotten")
}

func TestWithoutAQuotaAddressesAreNotCounted(t *testing.T) {
	as := NewAddresses(protocol.TokenQuota{})
	require.Nil(t, as)
	assert.Nil(t, as.Join("a"))
	as.Leave("a")
}

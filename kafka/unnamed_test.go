package kafka

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/access"
	"ottla/protocol"
)

// at is a connection of a client at an address.
func at(t *testing.T, s *Server, address string) (client net.Conn, served chan struct{}) {
	t.Helper()
	server, client := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	served = make(chan struct{})
	c := newConn(s, from{server, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))})
	go func() {
		defer close(served)
		c.run()
		c.close()
	}()
	return client, served
}

// An address has as many connections as its quota allows, whichever of its ports they
// come from; one more is closed. Others have theirs.
func TestConnectionsOfAnAddress(t *testing.T) {
	s := newGated(t, &gated{})
	s.o.Access = nil
	s.o.Addresses = access.NewAddresses(protocol.TokenQuota{Connections: 1})
	versions := kmsg.NewPtrApiVersionsRequest()
	first, served := at(t, s, "192.0.2.7:1")
	ask[*kmsg.ApiVersionsResponse](t, first, versions)
	_, refused := at(t, s, "192.0.2.7:2")
	awaitServed(t, refused)
	other, _ := at(t, s, "192.0.2.8:1")
	ask[*kmsg.ApiVersionsResponse](t, other, versions)
	require.NoError(t, first.Close())
	awaitServed(t, served)
	again, _ := at(t, s, "192.0.2.7:3")
	ask[*kmsg.ApiVersionsResponse](t, again, versions)
}

// Requests beyond the quota of an address are not refused, but read later, as those of
// tokens are.
func TestRequestsOfAnAddressArePaced(t *testing.T) {
	s := newGated(t, &gated{})
	s.o.Access, s.b = nil, withoutGroups{s.b}
	s.o.Addresses = access.NewAddresses(protocol.TokenQuota{Requests: 5})
	client, _ := at(t, s, "192.0.2.7:1")
	began := time.Now()
	for range 10 {
		ask[*kmsg.ListGroupsResponse](t, client, kmsg.NewPtrListGroupsRequest())
	}
	assert.GreaterOrEqual(t, time.Since(began), 900*time.Millisecond)
	_ = client.Close()
}

// Who is asked for a token, and has shown none, cannot try many.
func TestTokensCannotBeTriedAtAnyRate(t *testing.T) {
	s := newGated(t, &gated{})
	var err error
	s.o.Access, err = access.New(&tokens{}, access.Options{AdminToken: "the admin's"})
	require.NoError(t, err)
	s.o.Addresses = access.NewAddresses(protocol.TokenQuota{Requests: 4})
	began := time.Now()
	for range 4 { // each a handshake and a token, which ends the connection
		client, served := at(t, s, "192.0.2.7:1")
		hello := kmsg.NewPtrSASLHandshakeRequest()
		hello.Mechanism, hello.Version = "PLAIN", 1
		ask[*kmsg.SASLHandshakeResponse](t, client, hello)
		said := kmsg.NewPtrSASLAuthenticateRequest()
		said.SASLAuthBytes = []byte("\x00any\x00wrong")
		assert.Equal(t, errSASLAuthenticationFailed, ask[*kmsg.SASLAuthenticateResponse](t, client, said).ErrorCode)
		awaitServed(t, served)
	}
	assert.GreaterOrEqual(t, time.Since(began), 900*time.Millisecond)
}

// withoutGroups is a broker that has none.
type withoutGroups struct{ Backend }

func (withoutGroups) Groups(string) ([]protocol.GroupInfo, *protocol.Error) { return nil, nil }

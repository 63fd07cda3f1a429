package kafka

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"ottla/http/budget"
	"ottla/protocol"
)

// Records in answers count towards who asks: the address, then the token.
func TestSharesAreThoseOfTheClient(t *testing.T) {
	nc, other := net.Pipe()
	t.Cleanup(func() { _, _ = nc.Close(), other.Close() })
	const limit = 1 << 20
	answers := budget.NewAnswers(limit, 0, time.Minute)
	h := &recordHandlers{caller: &caller{srv: &Server{o: Options{Answers: answers}}}, socket: &socket{nc: nc}}
	h.newShare().Set(limit / 2)
	_, err := h.newShare().Take(1000)
	assert.NotNil(t, err, "the address has all that it may have")
	h.who = protocol.NewPrincipal("reader", nil, nil)
	_, err = h.newShare().Take(1000)
	assert.Nil(t, err)
	h.account.Close()
}

// A client has one account for both of its protocols: of IPv6 that of its network.
func TestAddressesPayAsOverHTTP(t *testing.T) {
	for remote, want := range map[string]string{"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "192.0.2.7:1234": "192.0.2.7"} {
		h := &recordHandlers{caller: &caller{}, socket: &socket{nc: from{remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))}}}
		assert.Equal(t, want, h.payer())
		assert.Equal(t, want, h.payer(), "again")
	}
}

// from is a connection of a client at an address.
type from struct {
	net.Conn
	remote net.Addr
}

func (f from) RemoteAddr() net.Addr { return f.remote }

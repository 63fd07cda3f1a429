package budget

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// Networks of IPv6 are one client each.
func TestAddressesOfClients(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":           "192.0.2.7",
		"[::ffff:192.0.2.7]:1234":  "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:99":        "fe80::/64",
		"no address":               "no address",
	} {
		assert.Equal(t, want, AddressOf(named(remote)), remote)
	}
}

type named string

func (n named) Network() string { return "tcp" }
func (n named) String() string  { return string(n) }

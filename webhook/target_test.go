package webhook

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func parsed(t *testing.T, allow ...string) *Targets {
	t.Helper()
	targets, err := ParseTargets(allow)
	require.NoError(t, err)
	return targets
}

// Where no delivery goes unless the operator says so: the machine itself, its networks,
// metadata of clouds, and all ways to write these addresses.
func TestAddressesThatAreRefused(t *testing.T) {
	none := parsed(t)
	for _, ip := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
		"169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.19.255.255",
		"198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
		"fc00::1", "fd00:ec2::254", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1", "5f00::1",
	} {
		assert.ErrorIs(t, none.address(netip.MustParseAddr(ip)), errRefused, ip)
		u := &url.URL{Scheme: "http", Host: net.JoinHostPort(ip, "80")}
		assert.ErrorIs(t, none.Check(u), errRefused, ip)
	}
	for _, ip := range []string{"1.1.1.1", "8.8.8.8", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "223.255.255.254", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"} {
		assert.NoError(t, none.address(netip.MustParseAddr(ip)), ip)
	}
}

func TestTargetsThatAreAllowed(t *testing.T) {
	targets := parsed(t, "10.1.0.0/16", "127.0.0.1", "hooks.internal", "*.lan", "fd00::/8")
	for host, ok := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "::ffff:127.0.0.1": true, "127.0.0.2": false, "fd00::1": true, "fc00::1": false,
		"hooks.internal": true, "HOOKS.internal.": true, "a.hooks.internal": true, "x.lan": true, "a.b.lan": true,
		"lan": true, "other.example": true, // names are looked at when they are resolved
		"localhost": true, "1.1.1.1": true,
	} {
		err := targets.Check(&url.URL{Scheme: "https", Host: net.JoinHostPort(host, "443")})
		assert.Equal(t, ok, err == nil, host)
	}
	assert.False(t, targets.names("lan"))
	assert.False(t, targets.names("evil-hooks.internal"))
	assert.False(t, targets.names("a.hooks.internal"))
	assert.True(t, targets.names("a.lan"))
	assert.Error(t, parsed(t).Check(&url.URL{Scheme: "http", Host: "localhost:80"}))
	assert.Error(t, parsed(t).Check(&url.URL{Scheme: "http", Host: "x.LOCALHOST."}))
	for _, bad := range []string{"", "10.1.2.3/16", "a b", "http://x", "x/", "*.", "*", "fe80::1%eth0", strings.Repeat("a", 254)} {
		_, err := ParseTargets([]string{bad})
		assert.Error(t, err, bad)
	}
}

// A name that resolves to where nothing may go is refused when the connection is made:
// what it resolved to before does not count. An allowed name, or address, is let through.
func TestNamesAreJudgedByWhatIsConnectedTo(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	local := net.JoinHostPort("localhost", port)
	dial := func(allow ...string) error {
		conn, err := parsed(t, allow...).dialer(&net.Dialer{})(context.Background(), "tcp", local)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	require.ErrorIs(t, dial(), errRefused)
	require.ErrorIs(t, dial("10.0.0.0/8", "other"), errRefused)
	require.NoError(t, dial("127.0.0.1", "::1"))
	require.NoError(t, dial("localhost"))
}

package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// Targets says which addresses deliveries may go to: all public ones, and what the
// operator names besides.
type Targets struct {
	networks []netip.Prefix
	hosts    []string // in lower case; "*.example" stands for all names below example
}

// ParseTargets reads webhooks.allow: addresses, networks ("10.0.0.0/8"), host names, and
// "*." with a domain for all names below it. A name that is allowed may have any address.
func ParseTargets(allow []string) (*Targets, error) {
	t := &Targets{}
	for _, a := range allow {
		if p, err := netip.ParsePrefix(a); err == nil {
			if p != p.Masked() {
				return nil, fmt.Errorf("%q has bits beyond its prefix: %s is meant?", a, p.Masked())
			}
			t.networks = append(t.networks, p)
			continue
		}
		if ip, err := netip.ParseAddr(a); err == nil && ip.Zone() == "" {
			t.networks = append(t.networks, netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()))
			continue
		}
		if !validHost(strings.TrimPrefix(a, "*.")) {
			return nil, fmt.Errorf("%q is no address, network or host name", a)
		}
		t.hosts = append(t.hosts, strings.ToLower(strings.TrimSuffix(a, ".")))
	}
	return t, nil
}

func validHost(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// names reports whether a host is allowed by its name.
func (t *Targets) names(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, h := range t.hosts {
		if domain, below := strings.CutPrefix(h, "*."); h == host || below && strings.HasSuffix(host, "."+domain) {
			return true
		}
	}
	return false
}

// unreachable are networks that are no part of the public internet, or lead into other
// ones. What is not listed is public.
var unreachable = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this host
	netip.MustParsePrefix("10.0.0.0/8"),      // private
	netip.MustParsePrefix("100.64.0.0/10"),   // carriers' NAT, and metadata of some clouds
	netip.MustParsePrefix("127.0.0.0/8"),     // loopback
	netip.MustParsePrefix("169.254.0.0/16"),  // link-local, and metadata of most clouds
	netip.MustParsePrefix("172.16.0.0/12"),   // private
	netip.MustParsePrefix("192.0.0.0/24"),    // assignments of protocols, and metadata of one cloud
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // relays of 6to4
	netip.MustParsePrefix("192.168.0.0/16"),  // private
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("224.0.0.0/3"),     // multicast, reserved, broadcast
	netip.MustParsePrefix("::/3"),            // unspecified, loopback, IPv4 in several forms, NAT64
	netip.MustParsePrefix("2001::/23"),       // Teredo and other special purposes
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4, which leads to any IPv4 address
	netip.MustParsePrefix("3fff::/20"),       // documentation
	netip.MustParsePrefix("4000::/2"),        // not in use
	netip.MustParsePrefix("8000::/1"),        // not in use; unique local, link-local, site-local, multicast
}

// errRefused is the error of a connection to where deliveries may not go.
var errRefused = errors.New("is not a public address, and webhooks.allow does not name it")

// address says why nothing may be sent to an address.
func (t *Targets) address(ip netip.Addr) error {
	ip = ip.WithZone("").Unmap()
	for _, p := range t.networks {
		if p.Contains(ip) {
			return nil
		}
	}
	if !ip.IsValid() {
		return errRefused
	}
	for _, p := range unreachable {
		if p.Contains(ip) {
			return fmt.Errorf("%s %w", ip, errRefused)
		}
	}
	return nil
}

// Check says why nothing may be sent to a URL, as far as that can be told before its
// host is resolved.
func (t *Targets) Check(u *url.URL) error {
	host := u.Hostname()
	if t.names(host) {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return t.address(ip)
	}
	if lower := strings.ToLower(strings.TrimSuffix(host, ".")); lower == "localhost" || strings.HasSuffix(lower, ".localhost") {
		if t.address(netip.MustParseAddr("127.0.0.1")) != nil && t.address(netip.IPv6Loopback()) != nil {
			return fmt.Errorf("%s %w", host, errRefused)
		}
	}
	return nil
}

// dialer connects to where deliveries may go. The address is looked at when the
// connection is about to be made: whatever a name resolved to before does not count.
func (t *Targets) dialer(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		own := *d
		if !t.names(host) {
			own.ControlContext = func(_ context.Context, _, at string, _ syscall.RawConn) error {
				to, err := netip.ParseAddrPort(at)
				if err != nil {
					return err
				}
				return t.address(to.Addr())
			}
		}
		return own.DialContext(ctx, network, address)
	}
}

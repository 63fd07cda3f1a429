package budget

import (
	"net"
	"net/netip"
)

// AddressOf is what tells clients apart that show no token, whatever they speak: an
// address, of IPv6 the network that one subscriber has.
func AddressOf(remote net.Addr) string {
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return remote.String()
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}

package bench

import (
	"fmt"
	"net"
	"net/url"
)

// address is the host and port of a server's URL; the load generator speaks
// plain HTTP only.
func address(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("server: %w", err)
	}
	if u.Scheme != "http" || u.Host == "" || u.Path != "" && u.Path != "/" {
		return "", fmt.Errorf("server %q must be http://HOST:PORT", server)
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80"), nil
	}
	return u.Host, nil
}

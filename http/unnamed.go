package http

import "ottla/protocol"

// unnamed is the client of a connection as long as it shows no token: an address, which
// has a quota.
type unnamed struct {
	srv     *Server
	address string
	who     *protocol.Principal // may do what those may who show no token
}

// everybody may do everything, where nobody is asked who he is.
var everybody = []protocol.Grant{{Do: []string{"read", "write", "admin"}}}

func newUnnamed(s *Server, address string) *unnamed {
	allow := everybody
	if s.access != nil {
		allow = nil
	}
	return &unnamed{s, address, protocol.NewPrincipal("", allow, nil).WithUsage(s.o.Addresses.Join(address))}
}

// leave is called when the connection ends.
func (u *unnamed) leave() {
	if u != nil {
		u.srv.o.Addresses.Leave(u.address)
	}
}

//go:build !linux

package conn

// departures cannot tell on this system when clients leave: Conn.Gone has to be
// asked from time to time.
type departures struct{}

func (d *departures) watch(*Conn, func()) (<-chan struct{}, func()) { return nil, func() {} }

type departure struct{}

func (*departure) end() {}

func (d *departures) close() {}

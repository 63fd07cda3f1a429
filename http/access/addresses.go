package access

import (
	"container/list"
	"sync"

	"ottla/protocol"
)

// maxIdleAddresses is how many addresses without connections are remembered, with what
// they have used.
const maxIdleAddresses = 10_000

// Addresses are the clients that show no token, each an address with a quota of its own.
// Its methods may be called from any goroutine. A nil Addresses has no quota.
type Addresses struct {
	quota protocol.TokenQuota

	mu    sync.Mutex
	known map[string]*address
	idle  *list.List // of addresses without connections; the one that left first is in front
}

// address is one of them.
type address struct {
	name  string
	usage *protocol.Usage
	open  int           // connections
	place *list.Element // in idle; nil while there are connections
}

// NewAddresses gives each address that quota; nil if it bounds nothing.
func NewAddresses(quota protocol.TokenQuota) *Addresses {
	if quota == (protocol.TokenQuota{}) {
		return nil
	}
	return &Addresses{quota: quota, known: map[string]*address{}, idle: list.New()}
}

// Join returns where what an address uses is counted. Leave must follow when the
// connection ends.
func (as *Addresses) Join(name string) *protocol.Usage {
	if as == nil {
		return nil
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.known[name]
	if a == nil {
		a = &address{name: name, usage: protocol.NewUsage(as.quota)}
		as.known[name] = a
	}
	a.open++
	if a.place != nil {
		as.idle.Remove(a.place)
		a.place = nil
	}
	return a.usage
}

// Leave ends what Join began. An address without connections is remembered for a while,
// so that nobody gets a new quota by connecting anew.
func (as *Addresses) Leave(name string) {
	if as == nil {
		return
	}
	as.mu.Lock()
	defer as.mu.Unlock()
	a := as.known[name]
	if a.open--; a.open > 0 {
		return
	}
	a.place = as.idle.PushBack(a)
	if as.idle.Len() > maxIdleAddresses {
		oldest := as.idle.Remove(as.idle.Front()).(*address)
		delete(as.known, oldest.name)
	}
}

package actors

import (
	"sync"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// consumerIDs hands out fresh consumer ids from a block that the cluster's
// metadata has set aside for this process.
type consumerIDs struct {
	mu         sync.Mutex
	next, last protocol.ConsumerID // next <= last: free
	taking     *idAllocation       // nil when none is under way
}

// idAllocation is one attempt to get a block. Everybody who needs an id
// meanwhile waits for it and shares its failure: tried by one after the other,
// while the metadata has no leader, the last would wait for all before it.
type idAllocation struct {
	done chan struct{}
	err  *protocol.Error
}

const consumerIDBlock = 1000

func (c *consumerIDs) take(allocate func(n int) (protocol.ConsumerID, *protocol.Error)) (protocol.ConsumerID, *protocol.Error) {
	for {
		c.mu.Lock()
		if c.next != 0 && c.next <= c.last {
			id := c.next
			c.next++
			c.mu.Unlock()
			return id, nil
		}
		a, mine := c.taking, c.taking == nil
		if mine {
			a = &idAllocation{done: make(chan struct{})}
			c.taking = a
		}
		c.mu.Unlock()
		if mine {
			c.fill(a, allocate)
		}
		<-a.done
		if a.err != nil {
			err := *a.err
			return 0, &err
		}
	}
}

func (c *consumerIDs) fill(a *idAllocation, allocate func(n int) (protocol.ConsumerID, *protocol.Error)) {
	first, err := allocate(consumerIDBlock)
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.err = err; err == nil {
		c.next, c.last = first, first+consumerIDBlock-1
	}
	c.taking = nil
	close(a.done)
}

// freshConsumerID assigns an id that no other cluster has assigned either:
// clients name a consumer by its id alone.
func (n *Node) freshConsumerID(h *clusterHandle) (protocol.ConsumerID, *protocol.Error) {
	return h.ids.take(func(count int) (protocol.ConsumerID, *protocol.Error) {
		n.allocating.Lock()
		defer n.allocating.Unlock()
		var first, floor protocol.ConsumerID
		for _, other := range *n.clusters.Load() {
			if view := other.admin.Load(); view != nil {
				floor = max(floor, view.nextConsumerID)
			}
		}
		err := n.change(h, time.Now().Add(n.env.opt.RequestTimeout), func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
			var recs []metarecord.Record
			first, recs = s.DecideAllocateConsumerIDs(count, floor)
			return recs, nil
		})
		if err != nil {
			return 0, err // first may still be written
		}
		return first, nil
	})
}

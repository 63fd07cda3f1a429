package actors

import (
	"sync"
	"time"

	"ottla/protocol"
)

// consumerIDs hands out fresh consumer ids from a block that the cluster's
// metadata has set aside for this process.
type consumerIDs struct {
	mu         sync.Mutex
	next, last protocol.ConsumerID // next <= last: free
}

const consumerIDBlock = 1000

func (c *consumerIDs) take(allocate func(n int) (protocol.ConsumerID, *protocol.Error)) (protocol.ConsumerID, *protocol.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == 0 || c.next > c.last {
		first, err := allocate(consumerIDBlock)
		if err != nil {
			return 0, err
		}
		c.next, c.last = first, first+consumerIDBlock-1
	}
	id := c.next
	c.next++
	return id, nil
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
		err := n.change(h, time.Now().Add(n.env.opt.RequestTimeout), func(s *clusterState) ([]stateRecord, *protocol.Error) {
			var recs []stateRecord
			first, recs = s.decideAllocateConsumerIDs(count, floor)
			return recs, nil
		})
		return first, err
	})
}

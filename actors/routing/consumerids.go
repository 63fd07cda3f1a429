package routing

import (
	"sync"

	"ottla/protocol"
)

// ConsumerIDs hands out fresh consumer ids from a block that the cluster's
// metadata has set aside for this process.
type ConsumerIDs struct {
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

// Take returns a fresh id. When none is left it calls allocate, which sets n
// further ids aside and returns the first of them. Errors: those of allocate.
func (c *ConsumerIDs) Take(allocate func(n int) (protocol.ConsumerID, *protocol.Error)) (protocol.ConsumerID, *protocol.Error) {
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

func (c *ConsumerIDs) fill(a *idAllocation, allocate func(n int) (protocol.ConsumerID, *protocol.Error)) {
	first, err := allocate(consumerIDBlock)
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.err = err; err == nil {
		c.next, c.last = first, first+consumerIDBlock-1
	}
	c.taking = nil
	close(a.done)
}

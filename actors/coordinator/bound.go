package coordinator

import (
	"sync"

	"ottla/protocol"
)

// Counts knows how many groups there are in the partitions of __consumer_offsets that this
// node leads or has led, by cluster.
//
// Coordinators set it from their partitions' goroutines, so it has a lock. What a node has
// led before stays counted: its groups are still there, elsewhere.
type Counts struct {
	mu     sync.Mutex
	counts map[string]map[int]int // by cluster id and partition
}

// set says how many groups a coordinator keeps.
func (g *Counts) set(clusterID string, partition, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.counts == nil {
		g.counts = map[string]map[int]int{}
	}
	if g.counts[clusterID] == nil {
		g.counts[clusterID] = map[int]int{}
	}
	g.counts[clusterID][partition] = n
}

// Forget forgets a cluster that was deleted.
func (g *Counts) Forget(clusterID string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.counts, clusterID)
}

// total is how many groups there are.
func (g *Counts) total() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, partitions := range g.counts {
		for _, count := range partitions {
			n += count
		}
	}
	return n
}

// countGroups says how many groups the coordinator keeps, if it leads.
func (c *Coordinator) countGroups() {
	// It is called for each batch of records; the lock is taken only when the number has
	// changed.
	if n := len(c.groups); c.counted != n+1 && c.serves() {
		c.env.Groups.set(c.clusterID, c.partition, n)
		c.counted = n + 1
	}
}

// letIn lets a group in that does not exist, or is being made, unless there are as many as
// may be.
func (c *Coordinator) letIn(name string) *protocol.Error {
	if _, coming := c.coming[name]; coming {
		return nil
	}
	c.countGroups()
	limit := c.env.MaxGroups
	// Two that come at once would otherwise both find the last place free.
	n := c.env.Groups.total() + len(c.coming) // whose first records are on their way
	if n < limit {
		c.coming[name] = struct{}{}
		return nil
	}
	return protocol.Errorf(protocol.CodeTooManyGroups, "there are %d groups, as many as limits.groups allows", n).With("limit", limit)
}

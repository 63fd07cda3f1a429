package front

import (
	"sync"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// consumerIDs gives out the ids of consumers. They are taken many at a time and handed out
// from memory: an id that is not used is lost, which there are enough for. No two clusters
// may give out the same, as clients name a consumer by its id alone.
type consumerIDs struct {
	*locator
	host       fleetHost
	allocating sync.Mutex // held while a cluster takes ids
}

// take assigns an id that no other cluster has assigned either:
// clients name a consumer by its id alone.
func (ids *consumerIDs) take(c *routing.Cluster) (protocol.ConsumerID, *protocol.Error) {
	return c.IDs.Take(func(count int) (protocol.ConsumerID, *protocol.Error) {
		ids.allocating.Lock()
		defer ids.allocating.Unlock()
		var first, floor protocol.ConsumerID
		for _, other := range ids.directory.Clusters() {
			if view := other.View(); view != nil {
				floor = max(floor, view.NextConsumerID)
			}
		}
		from := ids.host.IDs() // in a fleet, several nodes take ids at the same time
		if from == nil {
			from = c.Control
		}
		err := from.Change(time.Now().Add(ids.opt.RequestTimeout), func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
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

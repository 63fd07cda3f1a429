package front

import (
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// freshConsumerID assigns an id that no other cluster has assigned either:
// clients name a consumer by its id alone.
func (fr *Front) freshConsumerID(c *routing.Cluster) (protocol.ConsumerID, *protocol.Error) {
	return c.IDs.Take(func(count int) (protocol.ConsumerID, *protocol.Error) {
		fr.allocating.Lock()
		defer fr.allocating.Unlock()
		var first, floor protocol.ConsumerID
		for _, other := range fr.directory.Clusters() {
			if view := other.View(); view != nil {
				floor = max(floor, view.NextConsumerID)
			}
		}
		err := c.Control.Change(time.Now().Add(fr.opt.RequestTimeout), func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
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

package actors

import (
	"slices"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// bootstrap proposes a new cluster's first records, and then commits its
// manifest.
func (c *clusterActor) bootstrap(ctx actor.Context) {
	boot := catalog.Bootstrap{
		MetadataTopicID: protocol.MetadataTopic, OffsetsTopicID: protocol.NewID(),
		OffsetsPartitions: c.env.opt.OffsetsPartitions, Fleet: c.create.fleet, Host: c.env.opt.Host, Port: c.env.opt.Port,
	}
	for _, v := range c.handle.manifest.Voters {
		boot.MetadataReplicas = append(boot.MetadataReplicas, protocol.PlacedReplica(v))
	}
	create := c.create
	c.enqueue(ctx, &metadataOp{
		decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
			if create.fleet != nil {
				return s.DecideFoundFleet(create.settings, boot), nil
			}
			return s.DecideCreateCluster(create.settings, boot), nil
		},
		done: func(err *protocol.Error) {
			if err == nil {
				if cerr := c.env.manifests.Commit(c.handle.manifest.ID); cerr != nil {
					err = protocol.Errorf(protocol.CodeStorageFailed, "write manifest: %v", cerr)
				}
			}
			c.create = nil
			create.reply.Put(err)
			if c.links.spread.Load() {
				c.registerBrokers(ctx) // those who were not first have their own addresses
			}
		},
	})
}

// registerBrokers puts into the metadata where clients reach the brokers of this
// process.
func (c *clusterActor) registerBrokers(ctx actor.Context) {
	var here []int
	for _, b := range c.brokers {
		if b.here() {
			here = append(here, b.id)
		}
	}
	slices.Sort(here)
	c.enqueue(ctx, &metadataOp{decide: func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideRegisterBrokers(here, c.env.nodeID(), c.env.opt.Host, c.env.opt.Port), nil
	}})
}

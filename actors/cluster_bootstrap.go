package actors

import (
	"net"
	"slices"
	"strconv"

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
		OffsetsPartitions: c.env.opt.OffsetsPartitions, Fleet: c.create.fleet, Node: c.env.nodeID(), Places: c.places(), Host: c.env.opt.Host, Port: c.env.opt.Port,
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
			if c.links.Spread() {
				c.registerBrokers(ctx) // those who were not first have their own addresses
			}
		},
	})
}

// places is where clients reach the brokers that are at other nodes, as far as that
// is known.
func (c *clusterActor) places() map[int]catalog.Broker {
	if c.env.fleet == nil {
		return nil
	}
	places := map[int]catalog.Broker{}
	nodes := founders(&c.env.fleet.node.Founding).Nodes
	if v := c.env.fleet.view.Load(); v != nil {
		for _, n := range v.nodes {
			nodes = append(nodes, *n)
		}
	}
	for id, node := range *c.handle.nodes.Load() {
		place := catalog.Broker{Node: uint64(node)}
		for _, n := range nodes {
			if host, port, err := net.SplitHostPort(n.HTTP); err == nil && n.ID == place.Node {
				place.Host = host
				place.Port, _ = strconv.Atoi(port) // 0 where it makes no sense
			}
		}
		places[id] = place
	}
	return places
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

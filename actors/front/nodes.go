package front

import (
	"context"
	"net"
	"slices"
	"strconv"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Nodes lists the nodes of the fleet; of a process that is alone, none.
func (fs *fleetService) Nodes() ([]protocol.NodeInfo, *protocol.Error) {
	if why := fs.status.Joining(); why != "" {
		return nil, protocol.Errorf(protocol.CodeJoining, "this node does not belong to its fleet: %s", why)
	}
	nodes := slices.Clone(fs.status.Nodes())
	at := map[uint64]*protocol.NodeInfo{}
	for i := range nodes {
		at[nodes[i].ID] = &nodes[i]
	}
	for _, c := range fs.directory.Clusters() {
		view := c.View()
		if view == nil {
			continue
		}
		node := map[int]*protocol.NodeInfo{}
		for _, b := range view.Info.Brokers {
			node[b.ID] = at[b.Node]
		}
		for i := range view.Topics {
			for p := range view.Topics[i].Partitions {
				for _, broker := range view.Topics[i].Partitions[p].Replicas {
					if n := node[broker]; n != nil {
						n.Replicas++
					}
				}
				l := view.Partitions[protocol.PartitionID{TopicID: view.Topics[i].ID, Partition: p}].Leader()
				if l == nil {
					continue
				}
				if n := node[l.Broker]; n != nil {
					n.Leaders++
				}
			}
		}
	}
	if nodes == nil {
		nodes = []protocol.NodeInfo{}
	}
	return nodes, nil
}

// Fleet describes the fleet as a whole.
func (fs *fleetService) Fleet() (*protocol.FleetInfo, *protocol.Error) {
	info, err := fs.status.Fleet()
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// Finalize raises the fleet's level to what all nodes offer.
func (fs *fleetService) Finalize(ctx context.Context) (*protocol.FleetInfo, *protocol.Error) {
	info, err := fs.host.Finalize(fs.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// Node is the number of this process in its fleet, 0 where there is none.
func (fs *fleetService) Node() uint64 { return fs.fleet.Node() }

// LeaderAddress is HOST:PORT of the node whose replica leads a partition, "" where
// there is no fleet, or nobody leads.
func (fs *fleetService) LeaderAddress(t *protocol.Topic, partition int) string {
	if fs.fleet.Node() == 0 {
		return ""
	}
	topic := routing.Of(t)
	leader, view := topic.Partitions[partition].Leader(), topic.Cluster.View()
	if leader == nil || view == nil {
		return ""
	}
	for i := range view.Info.Brokers {
		if b := &view.Info.Brokers[i]; b.ID == leader.Broker {
			return net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
		}
	}
	return ""
}

// ReplaceNode has the brokers of a lost node begin anew at another one.
func (fs *fleetService) ReplaceNode(ctx context.Context, lost, with uint64) (*protocol.TaskInfo, *protocol.Error) {
	t, err := fs.host.ReplaceNode(lost, with, fs.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// DecommissionNode has all brokers of a node moved to others; the node is gone then.
func (fs *fleetService) DecommissionNode(ctx context.Context, id uint64) (*protocol.TaskInfo, *protocol.Error) {
	t, err := fs.host.DecommissionNode(id, fs.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// KeepNode takes the decommission of a node back.
func (fs *fleetService) KeepNode(ctx context.Context, id uint64) *protocol.Error {
	return fs.host.KeepNode(id, fs.deadline(ctx))
}

// Rebalance has brokers moved until all nodes have about as many.
func (fs *fleetService) Rebalance(ctx context.Context) (*protocol.TaskInfo, *protocol.Error) {
	t, err := fs.host.Rebalance(fs.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// DrainNode has leadership leave a node, or lets it come back.
func (fs *fleetService) DrainNode(ctx context.Context, id uint64, drain bool) *protocol.Error {
	return fs.host.DrainNode(id, drain, fs.deadline(ctx))
}

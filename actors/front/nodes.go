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
func (fr *Front) Nodes() ([]protocol.NodeInfo, *protocol.Error) {
	if why := fr.host.Joining(); why != "" {
		return nil, protocol.Errorf(protocol.CodeJoining, "this node does not belong to its fleet: %s", why)
	}
	nodes := slices.Clone(fr.host.Nodes())
	at := map[uint64]*protocol.NodeInfo{}
	for i := range nodes {
		at[nodes[i].ID] = &nodes[i]
	}
	for _, c := range fr.directory.Clusters() {
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
func (fr *Front) Fleet() (*protocol.FleetInfo, *protocol.Error) {
	info, err := fr.host.Fleet()
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// Finalize raises the fleet's level to what all nodes offer.
func (fr *Front) Finalize(ctx context.Context) (*protocol.FleetInfo, *protocol.Error) {
	info, err := fr.host.Finalize(fr.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// Node is the number of this process in its fleet, 0 where there is none.
func (fr *Front) Node() uint64 { return fr.host.Node() }

// LeaderAddress is HOST:PORT of the node whose replica leads a partition, "" where
// there is no fleet, or nobody leads.
func (fr *Front) LeaderAddress(t *protocol.Topic, partition int) string {
	if fr.host.Node() == 0 {
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
func (fr *Front) ReplaceNode(ctx context.Context, lost, with uint64) (*protocol.TaskInfo, *protocol.Error) {
	t, err := fr.host.ReplaceNode(lost, with, fr.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// DecommissionNode has all brokers of a node moved to others; the node is gone then.
func (fr *Front) DecommissionNode(ctx context.Context, id uint64) (*protocol.TaskInfo, *protocol.Error) {
	t, err := fr.host.DecommissionNode(id, fr.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// KeepNode takes the decommission of a node back.
func (fr *Front) KeepNode(ctx context.Context, id uint64) *protocol.Error {
	return fr.host.KeepNode(id, fr.deadline(ctx))
}

// Rebalance has brokers moved until all nodes have about as many.
func (fr *Front) Rebalance(ctx context.Context) (*protocol.TaskInfo, *protocol.Error) {
	t, err := fr.host.Rebalance(fr.deadline(ctx))
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// DrainNode has leadership leave a node, or lets it come back.
func (fr *Front) DrainNode(ctx context.Context, id uint64, drain bool) *protocol.Error {
	return fr.host.DrainNode(id, drain, fr.deadline(ctx))
}

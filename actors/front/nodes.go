package front

import (
	"slices"

	"ottla/protocol"
)

// Nodes lists the nodes of the fleet; of a process that is alone, none.
func (fr *Front) Nodes() ([]protocol.NodeInfo, *protocol.Error) {
	if why := fr.host.Joining(); why != "" {
		return nil, protocol.Errorf(protocol.CodeJoining, "this node does not belong to its fleet yet: %s", why)
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

package fleet

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/peers"
	"ottla/actors/wire"
	"ottla/link"
	"ottla/protocol"
)

// A node that was stopped knows the fleet as it was then. The leader of the metadata may be
// a node that it has never heard of, and does not let in. So until it has the metadata it
// asks those that it knows for the others.

// members is the answer.
type members struct {
	Nodes []catalog.FleetNode `json:"n"`
}

// AnswerMembers answers which nodes there are, as far as this one knows.
func (f *Fleet) AnswerMembers(reply func([]byte, error)) {
	// Only the metadata itself, never what was remembered from the last start: what is old
	// would be passed on from node to node.
	v := f.view.Load()
	if v == nil {
		reply(nil, protocol.Errorf(protocol.CodeStarting, "node %q does not know its fleet's metadata yet", f.o.Self.Name))
		return
	}
	m := members{}
	for _, n := range v.Nodes {
		m.Nodes = append(m.Nodes, *n)
	}
	reply(wire.Encode(&m), nil)
}

// askPause is the pause before members are asked for again.
const askPause = 500 * time.Millisecond

// AskForMembers asks the known nodes for the others until the metadata is here. Heard is
// called, on any goroutine, with what each answers.
func (f *Fleet) AskForMembers(p *peers.Peers, known *View, heard func([]catalog.FleetNode)) {
	t := time.NewTicker(askPause)
	defer t.Stop()
	for f.view.Load() == nil {
		// All of them each time: which of them has the metadata is not known.
		for id := range known.Nodes {
			if id == f.Self() {
				continue
			}
			p.Link().Call(link.NodeID(id), link.Control, wire.Members, time.Now().Add(peers.CallPatience), func(answer []byte, err error) {
				var m members
				if err == nil && wire.Decode(answer, &m) == nil {
					heard(m.Nodes)
				}
			})
		}
		select {
		case <-t.C:
		case <-f.o.Stopped:
			return
		}
	}
}

// Members are the nodes that are not gone, as they are written down for the next start.
func (v *View) Members() []datadir.Founder {
	var all []datadir.Founder
	for _, n := range v.Nodes {
		if !n.Gone {
			all = append(all, datadir.Founder{Node: n.ID, UUID: n.UUID, Name: n.Name, Link: n.Link, HTTP: n.HTTP})
		}
	}
	// In order, so that what is written changes only if the nodes do.
	slices.SortFunc(all, func(a, b datadir.Founder) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

// Remembered is a view of the nodes that were known at the last start, and those that have
// founded the fleet.
func Remembered(f *datadir.Founding, written []datadir.Founder, more []catalog.FleetNode) *View {
	v := &View{Nodes: map[uint64]*catalog.FleetNode{}}
	// The newest last: a node's addresses may have changed since the founding.
	for _, list := range [][]catalog.FleetNode{Founders(f).Nodes, Founders(&datadir.Founding{Founders: written, CreatedAt: f.CreatedAt}).Nodes, more} {
		for _, n := range list {
			v.Nodes[n.ID] = &n
		}
	}
	return v
}

// With is the view with what another node knows.
func (v *View) With(nodes []catalog.FleetNode) *View {
	// A new one, because others read the old one without a lock.
	next := &View{Nodes: map[uint64]*catalog.FleetNode{}}
	for id, n := range v.Nodes {
		next.Nodes[id] = n
	}
	for _, n := range nodes {
		next.Nodes[n.ID] = &n
	}
	return next
}

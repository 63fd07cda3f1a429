package actors

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/founding"
	"ottla/actors/metarecord"
	"ottla/actors/peers"
	"ottla/certs"
	"ottla/link"
	"ottla/protocol"
)

// LinkOptions are how a node takes part in a fleet. The zero value: it is alone.
type LinkOptions struct {
	Listen    string // HOST:PORT for other nodes; empty: the node is alone
	Advertise string // HOST:PORT where they reach it; empty: Listen
	Seeds     []string
	Name      string // unique in the fleet
	Rack      string
	TLS       *certs.NodeFiles // nil: none
	Insecure  bool
}

// openLink opens the node's link, if it has one. Find, if not nil, makes the node
// part of a fleet and tells the node's actor. Errors: the settings do not fit what is
// in the data directory; the address cannot be used.
func (e *environment) openLink(empty bool) (find func(), err error) {
	o := &e.opt.Link
	node, err := datadir.ReadNode(e.opt.DataDir)
	switch {
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return nil, err
	case o.Listen == "" && node != nil:
		return nil, fmt.Errorf("this data directory is that of node %d of a fleet: start it with --link, as before", node.Node)
	case o.Listen == "":
		return nil, nil
	}
	if o.Advertise == "" {
		o.Advertise = o.Listen
	}
	uuid, err := datadir.NodeUUID(e.opt.DataDir, protocol.NewID)
	if err != nil {
		return nil, err
	}
	j := founding.New(founding.Options{
		DataDir: e.opt.DataDir, Seeds: o.Seeds, Self: catalog.FleetNode{
			UUID: uuid, Name: o.Name, Link: o.Advertise, HTTP: hostPort(e.opt.Host, e.opt.Port), Rack: o.Rack, Version: e.opt.Version,
		},
		Node: node, Log: e.log, Now: e.now, Stopped: e.stopped,
		Waiting: func(why string) { e.fleet.why.Store(&why) }, Enter: e.enter,
	})
	self := link.Identity{
		Name: o.Name, Version: e.opt.Version, MinFormat: linkFormat, MaxFormat: linkFormat,
		AdvertiseLink: o.Advertise, AdvertiseHTTP: hostPort(e.opt.Host, e.opt.Port), Rack: o.Rack,
	}
	self.UUID = j.UUID()
	if node != nil {
		self.Fleet, self.Node = node.Fleet, link.NodeID(node.Node)
	}
	e.peers = peers.New(e.system, e.log, e.draining.Load)
	e.fleet = &fleet{env: e, found: make(chan struct{})}
	if err := e.peers.Open(link.Config{Self: self, Listen: o.Listen, TLS: o.TLS, Insecure: o.Insecure, Log: e.log}, j.Answer); err != nil {
		return nil, err
	}
	return func() {
		m := &fleetFound{node: node}
		if node == nil {
			var err error
			if m.node, m.members, err = j.Find(e.peers.Link(), empty); err != nil {
				e.fail(fmt.Errorf("find the fleet: %w", err))
				return
			}
			if m.node == nil {
				return // the process ends
			}
			self.Fleet, self.Node = m.node.Fleet, link.NodeID(m.node.Node)
			e.peers.Link().SetIdentity(self)
		}
		e.system.Root.Send(e.node.Load(), m)
	}, nil
}

// linkFormat is the version of what nodes say to each other.
const linkFormat = 1

func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// enter enters another node into the fleet's metadata.
func (e *environment) enter(n catalog.FleetNode) (id uint64, members []catalog.FleetNode, err *protocol.Error) {
	f := e.fleet
	if !f.belongs() || f.view.Load() == nil {
		return 0, nil, protocol.Errorf(protocol.CodeStarting, "node %q does not know its fleet's metadata yet", e.opt.Link.Name)
	}
	n.ID, n.CreatedAt = 0, e.now().UnixMilli()
	err = f.change(time.Now().Add(e.opt.RequestTimeout), func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		id, recs, err = s.DecideRegisterNode(n)
		members = members[:0]
		for _, other := range s.FleetNodes() {
			if !other.Gone {
				members = append(members, *other)
			}
		}
		return recs, err
	})
	return id, members, err
}

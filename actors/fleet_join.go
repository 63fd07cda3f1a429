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
	"ottla/actors/fleet"
	"ottla/actors/founding"
	"ottla/actors/level"
	"ottla/actors/peers"
	"ottla/actors/wire"
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
	Hold      bool // the fleet's level is not to be raised by itself

	MaxClockOffset time.Duration // by which the clocks of nodes may differ, 1 s
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
	// The uuid is the directory's, not the process': who has lost the one is a new node, and
	// may not take the other's place.
	uuid, err := datadir.NodeUUID(e.opt.DataDir, protocol.NewID)
	if err != nil {
		return nil, err
	}
	http := net.JoinHostPort(e.opt.Host, strconv.Itoa(e.opt.Port))
	me := catalog.FleetNode{UUID: uuid, Name: o.Name, Link: o.Advertise, HTTP: http, Kafka: e.opt.Kafka, Rack: o.Rack, Version: e.opt.Version}
	j := founding.New(founding.Options{
		DataDir: e.opt.DataDir, Seeds: o.Seeds, Self: me,
		Node: node, Log: e.log, Now: e.now, Stopped: e.stopped,
		Waiting: func(why string) { e.fleet.Waits(why) }, Enter: func(n catalog.FleetNode, newest int) (uint64, []catalog.FleetNode, *protocol.Error) {
			return e.fleet.Enter(n, newest)
		},
	})
	self := e.identity(j.UUID(), http, node)
	e.peers = peers.New(e.system, e.log, e.clock, e.draining.Load, e.unfit, e.fitness.Works)
	e.clock.Limit(o.MaxClockOffset)
	me.UUID = j.UUID()
	e.fleet = fleet.New(fleet.Options{
		Self: me, Alive: func(id uint64) bool { return e.peers.Alive(link.NodeID(id)) }, Clusters: e.directory.Clusters,
		Said: e.peers.Identity, Expelled: func() bool { return e.peers.Link().Expelled() }, Holds: o.Hold, Room: e.opt.MaxReplicas, Level: e.manifests.Level(), Raise: e.raiseLevel, Timeout: e.opt.RequestTimeout, Now: e.agreed, Log: e.log, Stopped: e.stopped,
		Changed: func(v *fleet.View) {
			if node := e.node.Load(); node != nil {
				e.system.Root.Send(node, &fleetChanged{v})
			}
		},
	})
	if err := e.peers.Open(link.Config{Self: self, Listen: o.Listen, TLS: o.TLS, Insecure: o.Insecure, Log: e.log}, func(kind uint16, from link.NodeID, body []byte, reply func([]byte, error)) {
		if kind == wire.Members {
			e.fleet.AnswerMembers(reply)
			return
		}
		j.Answer(kind, from, body, reply)
	}); err != nil {
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
			e.peers.Link().Change(func(self *link.Identity) { self.Fleet, self.Node = m.node.Fleet, link.NodeID(m.node.Node) })
		}
		e.system.Root.Send(e.node.Load(), m)
	}, nil
}

// identity is what the node says of itself to others. Node is its place in its fleet, nil
// if it has none yet.
func (e *environment) identity(uuid, http string, node *datadir.Node) link.Identity {
	o := &e.opt.Link
	self := link.Identity{
		UUID: uuid, Name: o.Name, Version: e.opt.Version, AdvertiseLink: o.Advertise, AdvertiseHTTP: http, Rack: o.Rack,
		MinFormat: level.Oldest, MaxFormat: level.Newest, Oldest: level.Oldest, Holds: o.Hold,
	}
	if node != nil {
		self.Fleet, self.Node, self.Level = node.Fleet, link.NodeID(node.Node), e.manifests.Level()
		self.MinFormat = max(level.Oldest, self.Level) // programs that know of no levels look at the formats
	}
	return self
}

package actors

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/fleet"
	"ottla/link"
	"ottla/protocol"
)

// What the node's actor does in a fleet: it has the clusters, and the parts of them,
// that the fleet's metadata says.

// fleetFound tells the node's actor that the node belongs to a fleet.
type fleetFound struct {
	node    *datadir.Node
	members []catalog.FleetNode
}

// fleetChanged tells the node's actor that the fleet's metadata has changed.
type fleetChanged struct{ view *fleet.View }

// membersHeard brings what another node knows of the fleet's nodes.
type membersHeard struct{ nodes []catalog.FleetNode }

// membersHeard has the nodes let in that others know of. Only until the fleet's metadata is
// here, which says it with authority: what others remember may be of nodes that are gone.
func (a *nodeActor) membersHeard(m *membersHeard) {
	if a.env.fleet.View() == nil {
		a.members = a.members.With(m.nodes)
		a.members.Tell(a.env.peers, a.env.fleet.Self())
	}
}

// fleetChanged makes what runs here what the fleet's metadata says.
//
// It compares, so it may be called with the same view again, and what failed is tried again
// with the next. The order matters: what is deleted goes first, because new clusters may take its
// names and directories, and places where files are still in the way are left for the next
// change.
func (a *nodeActor) fleetChanged(ctx actor.Context, v *fleet.View) {
	f := a.env.fleet
	f.Enforce(v)
	v.Tell(a.env.peers, f.Self())
	// Kept for the next start, which must find nodes to read the metadata from before it has
	// any.
	if members := v.Members(); !slices.Equal(members, a.written) {
		if err := datadir.WriteMembers(a.env.opt.DataDir, members); err != nil {
			a.env.log.Error("note which nodes the fleet has", "error", err)
		} else {
			a.written = members
		}
	}
	for _, p := range v.Placed {
		if p.Phase == catalog.PlacedDeleting {
			a.unplace(ctx, p)
		}
	}
	for _, p := range v.Placed {
		if p.Phase == catalog.PlacedDeleting || v.InTheWay(f.Self(), p) {
			continue
		}
		h := a.handles[p.Settings.Name]
		if p.Settings.Name == catalog.FleetName {
			h = a.fleetHandle()
		}
		if h != nil {
			a.move(ctx, h, p)
		} else {
			a.place(ctx, p, nil)
		}
	}
	self := v.Nodes[f.Self()]
	a.env.draining.Store(self != nil && (self.Draining || self.Leaving))
	for name, h := range a.handles {
		if len(h.manifest.Nodes) > 0 && v.Placed[h.manifest.ID] == nil { // deleted, and nothing of it was here
			a.publish(name, nil)
			a.endCluster(ctx, h, protocol.NewFuture[error]())
		}
	}
	a.adoptAll(v)
	wants := a.env.opt.DefaultCluster != "" && !v.HadClusters && len(a.handles) == 0
	a.env.directory.WantsDefault.Store(wants)
	if wants {
		f.PlaceFirst(a.env.opt.DefaultCluster)
	}
}

// fleetHandle is the fleet's own metadata, nil if there is none here.
func (a *nodeActor) fleetHandle() *clusterHandle {
	if a.env.fleet == nil {
		return nil
	}
	h, _ := a.env.fleet.Metadata().(*clusterHandle)
	return h
}

// move tells a cluster that some of its brokers are at other nodes now, on their way
// there, or new.
func (a *nodeActor) move(ctx actor.Context, h *clusterHandle, p *catalog.PlacedCluster) {
	self := a.env.fleet.Self()
	was := a.located[h]
	if was == nil && len(p.Moves) == 0 && !slices.ContainsFunc(p.Nodes, func(n uint64) bool { return n != self }) {
		return // it was this node's alone, and is
	}
	if was != nil && slices.Equal(was.Nodes, p.Nodes) && maps.Equal(was.Moves, p.Moves) {
		return
	}
	m := fleet.Manifest(p, self)
	m.Phase = datadir.Created
	// On disk before any broker of it is started: a directory that arrives here without an
	// entry would be unknown to the next start.
	if err := a.env.manifests.Move(m); err != nil {
		a.env.log.Error("note where a cluster's brokers are", "cluster", h.Name, "error", err)
		return // tried again when the fleet changes
	}
	a.located[h] = p
	h.placed.Store(fleet.LayoutOf(p, self))
	if pid := h.pid.Load(); pid != nil {
		ctx.Send(pid, &brokersPlaced{h.placed.Load()})
	}
}

// adoptAll enters the clusters that this node had before it belonged to the fleet.
func (a *nodeActor) adoptAll(v *fleet.View) {
	f := a.env.fleet
	for _, h := range a.handles {
		view := h.View()
		if len(h.manifest.Nodes) > 0 || v.Placed[h.manifest.ID] != nil || h.Refused != nil {
			continue
		}
		if view == nil { // looked at again when it is recovered
			node, root := a.env.node.Load(), a.env.system.Root
			time.AfterFunc(time.Second, func() { root.Send(node, &fleetChanged{f.View()}) })
			continue
		}
		f.Adopt(view.Info)
	}
}

// place starts this node's part of a cluster, unless it runs. Founding is set for that of the
// fleet's metadata.
//
// What is made depends on how far an earlier start has come, which only the manifest says:
// nothing begun, begun and not committed (then what is missing is made), or created. A cluster
// that exists and is not known here has lost its directories at this node.
func (a *nodeActor) place(ctx actor.Context, p *catalog.PlacedCluster, founding *catalog.Founding) {
	name, self := p.Settings.Name, a.env.fleet.Self()
	if h := a.handles[name]; h != nil {
		if h.manifest.ID != p.Settings.ID {
			a.env.log.Error("a cluster of this node has the name of another one of the fleet", "cluster", name)
		}
		return
	}
	m, known := a.env.manifests.Find(p.Settings.ID)
	if !known {
		m = fleet.Manifest(p, self)
	}
	var create *createSpec
	var err error
	switch {
	case len(m.Brokers()) == 0:
	case !known && p.Phase == catalog.PlacedCreating:
		if derr := datadir.CheckLogDirectory(a.env.opt.DataDir, m.LogDirectory, a.env.manifests.LogDirectories()); derr != nil {
			err = derr
		} else {
			err = a.begin(m)
		}
		create = &createSpec{settings: p.Settings, fleet: founding}
	case !known:
		err = a.env.manifests.Adopt(m) // its brokers here have lost their directories
	case m.Phase == datadir.Creating:
		err = a.env.manifests.Resume(m.ID, func(broker int, dir string) error {
			if err := datadir.CreateLedger(dir, m.ID, broker); !errors.Is(err, os.ErrExist) {
				return err
			}
			return nil
		})
		create = &createSpec{settings: p.Settings, fleet: founding}
	}
	if err != nil {
		a.placeFailed(p, err)
		return
	}
	h := a.env.newHandle(m)
	a.located[h] = p
	h.placed.Store(fleet.LayoutOf(p, self))
	h.Fresh = create != nil && !a.env.directory.WantsDefault.Load()
	if founding != nil || name == catalog.FleetName {
		h.fleet = a.env.fleet
		a.env.fleet.Meta(h)
	} else {
		a.publish(name, h)
	}
	if create != nil {
		create.reply = protocol.NewFuture[*protocol.Error]()
		go a.placed(p, create.reply, founding != nil)
	}
	a.spawn(ctx, h, create)
}

// placed says that the cluster is created once this node's part of it is.
func (a *nodeActor) placed(p *catalog.PlacedCluster, reply protocol.Future[*protocol.Error], founding bool) {
	if err := <-reply.C(); err != nil {
		a.env.log.Error("this node's part of a cluster is not created", "cluster", p.Settings.Name, "error", err)
		return
	}
	if !founding {
		a.env.fleet.Created(p.Settings.ID)
	}
}

// placeFailed gives up the creation of a cluster. One that exists is tried again
// when the fleet changes.
func (a *nodeActor) placeFailed(p *catalog.PlacedCluster, err error) {
	a.env.log.Error("this node's part of a cluster cannot be started", "cluster", p.Settings.Name, "error", err)
	if p.Phase == catalog.PlacedCreating {
		a.env.fleet.GaveUp(p.Settings.ID, fmt.Sprintf("node %d: %v", a.env.fleet.Self(), err))
	}
}

// prepare makes the directories and ledgers of a new cluster. Until the
// manifest is committed, a crash leaves nothing of it.
func (a *nodeActor) prepare(s catalog.ClusterSettings) (*clusterHandle, error) {
	m := datadir.ClusterManifest{
		ID: s.ID, Name: s.Name, LogDirectory: s.LogDirectory, NumBrokers: s.NumBrokers, Fsync: s.Fsync,
		CreatedAt: time.UnixMilli(s.CreatedAt).UTC(), Phase: datadir.Creating,
	}
	for _, v := range catalog.MetadataVoters(s.NumBrokers) {
		m.Voters = append(m.Voters, datadir.MetadataVoter(v))
	}
	if err := a.begin(m); err != nil {
		return nil, err
	}
	h := a.env.newHandle(m)
	h.Fresh = !a.env.directory.WantsDefault.Load()
	return h, nil
}

// begin makes the directories and ledgers of a node's part of a cluster. The entry comes first
// and says that the cluster is being created, so that a crash in between leaves nothing.
func (a *nodeActor) begin(m datadir.ClusterManifest) error {
	if err := a.env.manifests.Begin(m); err != nil {
		return err
	}
	for _, id := range m.Brokers() {
		if err := datadir.CreateLedger(a.env.manifests.BrokerDir(m, id), m.ID, id); err != nil {
			return errors.Join(err, a.env.manifests.Abort(m.ID))
		}
	}
	return nil
}

// unplace ends this node's part of a cluster that is deleted, and removes its files. The fleet
// is told when they are gone, and forgets the cluster when all nodes have said so. It may be
// called again while that is under way.
func (a *nodeActor) unplace(ctx actor.Context, p *catalog.PlacedCluster) {
	self, id := a.env.fleet.Self(), p.Settings.ID
	if !slices.Contains(p.Nodes, self) || slices.Contains(p.Removed, self) {
		if h := a.handles[p.Settings.Name]; h != nil && h.manifest.ID == id {
			a.publish(p.Settings.Name, nil)
			a.endCluster(ctx, h, protocol.NewFuture[error]())
		}
		return
	}
	removed := protocol.NewFuture[*protocol.Error]()
	removed = removed.Then(func() {
		if err := <-removed.C(); err != nil {
			a.env.log.Error("remove this node's part of a cluster", "cluster", p.Settings.Name, "error", err)
			return
		}
		a.env.fleet.Removed(id)
	})
	if h := a.handles[p.Settings.Name]; h != nil && h.manifest.ID == id {
		a.publish(p.Settings.Name, nil)
		a.endAndRemove(ctx, h, removed)
		return
	}
	if a.unplacing[id] {
		return
	}
	a.unplacing[id] = true
	if _, known := a.env.manifests.Find(id); known {
		if err := a.env.manifests.Remove(id); err != nil {
			removed.Put(protocol.Errorf(protocol.CodeStorageFailed, "%v", err))
			return
		}
	}
	removed.Put(nil)
}

// startFleet starts this node's part of the fleet's metadata, or the reading of it
// where it has none.
func (a *nodeActor) startFleet(ctx actor.Context, m *fleetFound) {
	f := a.env.fleet
	f.Found(m.node)
	a.env.peers.SetSelf(link.NodeID(m.node.Node))
	written, err := datadir.ReadMembers(a.env.opt.DataDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		a.env.log.Error("read which nodes the fleet has", "error", err) // those that have founded it may do
	}
	a.members, a.written = fleet.Remembered(&m.node.Founding, written, m.members), written
	a.members.Tell(a.env.peers, f.Self())
	self, root := ctx.Self(), a.env.system.Root
	go a.env.watchClock()
	go f.AskForMembers(a.env.peers, a.members, func(nodes []catalog.FleetNode) { root.Send(self, &membersHeard{nodes}) })
	for _, p := range a.known {
		h := a.env.newHandle(p.Manifest)
		h.placed.Store(fleet.LayoutBefore(p.Manifest, f.Self()))
		if len(p.Manifest.Nodes) > 0 { // brought up to date by the fleet's metadata
			a.located[h] = &catalog.PlacedCluster{}
		}
		switch {
		case p.Manifest.Name == catalog.FleetName:
			h.fleet = f
			f.Meta(h)
			a.spawn(ctx, h, nil)
			continue
		case p.Refused == nil:
			a.spawn(ctx, h, nil)
		default:
			a.hold(h, &p)
		}
		a.publish(h.manifest.Name, h)
	}
	a.env.directory.WantsDefault.Store(a.env.opt.DefaultCluster != "" && len(a.handles) == 0)
	// This node has not made its part of the fleet's metadata yet, or holds none of it. Then
	// it still has an actor of it, without brokers, which reads the metadata from its leader.
	if f.Metadata() == nil {
		a.place(ctx, fleet.Placement(&m.node.Founding), fleet.Founders(&m.node.Founding))
	}
	if f.Metadata() == nil {
		a.env.fail(errors.New("this node's part of the fleet's metadata cannot be started; the log says why"))
		return
	}
	f.Begin()
}

// raiseLevel notes that the fleet has a level, and says so to other nodes from then on. In
// this order: once others are told they may send what an older program cannot read, so by then
// none may be able to open this data directory.
func (e *environment) raiseLevel(to int) error {
	if err := e.manifests.Raise(to); err != nil {
		return err
	}
	e.peers.Link().Change(func(self *link.Identity) { self.Level, self.MinFormat = to, to })
	return nil
}

// closeLink ends the connections to other nodes.
func (e *environment) closeLink() {
	if e.peers != nil {
		e.peers.Close()
	}
}

package actors

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/metarecord"
	"ottla/link"
	"ottla/protocol"
)

// What the node's actor does in a fleet: it has the clusters, and the parts of them,
// that the fleet's metadata says.

// fleetChanged makes what runs here what the fleet's metadata says.
func (a *nodeActor) fleetChanged(ctx actor.Context, v *fleetView) {
	f := a.env.fleet
	v.tell(a.env.peers, f.self())
	for _, p := range v.placed {
		if p.Phase == catalog.PlacedDeleting {
			a.unplace(ctx, p)
		}
	}
	for _, p := range v.placed {
		if p.Phase == catalog.PlacedDeleting || a.inTheWay(v, p) {
			continue
		}
		h := a.handles[p.Settings.Name]
		if p.Settings.Name == catalog.FleetName {
			h = f.handle
		}
		if h != nil {
			a.move(ctx, h, p)
		} else {
			a.place(ctx, p, nil)
		}
	}
	a.env.draining.Store(v.nodes[f.self()] != nil && v.nodes[f.self()].Draining)
	for name, h := range a.handles {
		if len(h.manifest.Nodes) > 0 && v.placed[h.manifest.ID] == nil { // deleted, and nothing of it was here
			a.publish(name, nil)
			a.endCluster(ctx, h, protocol.NewFuture[error]())
		}
	}
	a.adoptAll(v)
	a.createDefault(v)
}

// locate says where the brokers of a cluster are.
func (a *nodeActor) locate(h *clusterHandle, nodes []uint64) {
	elsewhere := nodesOf(nodes, a.env.fleet.self())
	h.nodes.Store(&elsewhere)
	a.located[h] = nodes
}

// move tells a cluster that some of its brokers are at other nodes now. Those that
// are here now begin anew.
func (a *nodeActor) move(ctx actor.Context, h *clusterHandle, p *catalog.PlacedCluster) {
	if len(a.located[h]) == 0 || slices.Equal(a.located[h], p.Nodes) {
		return // it is not moved, or was this node's alone
	}
	m := placedManifest(p, a.env.fleet.self())
	m.Phase = datadir.Created
	if err := a.env.manifests.Move(m); err != nil {
		a.env.log.Error("note where a cluster's brokers are", "cluster", h.Name, "error", err)
		return // tried again when the fleet changes
	}
	a.locate(h, p.Nodes)
	if pid := h.pid.Load(); pid != nil {
		ctx.Send(pid, &brokersMoved{nodes: *h.nodes.Load()})
	}
}

// inTheWay reports whether files of a deleted cluster are still where a new one is to
// be. The fleet's metadata changes once they are gone.
func (a *nodeActor) inTheWay(v *fleetView, p *catalog.PlacedCluster) bool {
	self := a.env.fleet.self()
	for _, old := range v.placed {
		if old.Phase == catalog.PlacedDeleting && slices.Contains(old.Nodes, self) && !slices.Contains(old.Removed, self) &&
			slices.Contains(p.Nodes, self) && old.Overlaps(p) {
			return true
		}
	}
	return false
}

// createDefault has the default cluster created when the fleet has never had any. It
// does not matter how many nodes do so.
func (a *nodeActor) createDefault(v *fleetView) {
	name := a.env.opt.DefaultCluster
	wants := name != "" && !v.hadClusters && len(a.handles) == 0
	a.env.directory.WantsDefault.Store(wants)
	if !wants {
		return
	}
	spec := &protocol.ClusterSpec{Name: name}
	settings, err := catalog.Resolve(spec, protocol.NewID(), a.env.now().UnixMilli())
	if err != nil {
		a.env.log.Error("create the default cluster", "error", err)
		return
	}
	a.env.fleet.changeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		if s.HadClusters() {
			return nil, nil
		}
		_, recs, err := s.DecidePlaceCluster(settings, spec, func(uint64) bool { return true })
		return recs, err
	})
}

// adoptAll enters the clusters that this node had before it belonged to the fleet.
func (a *nodeActor) adoptAll(v *fleetView) {
	f := a.env.fleet
	for _, h := range a.handles {
		view := h.View()
		if len(h.manifest.Nodes) > 0 || v.placed[h.manifest.ID] != nil || h.Refused != nil {
			continue
		}
		if view == nil { // looked at again when it is recovered
			node, root := a.env.node.Load(), a.env.system.Root
			time.AfterFunc(time.Second, func() { root.Send(node, &fleetChanged{f.view.Load()}) })
			continue
		}
		i := view.Info
		settings := catalog.ClusterSettings{
			ID: i.ID, Name: i.Name, NumBrokers: i.NumBrokers, LogDirectory: i.LogDirectory, Partitions: i.Partitions,
			RetentionHours: i.RetentionHours, ReplicationFactor: i.ReplicationFactor, Fsync: i.Fsync, CreatedAt: i.CreatedAt.UnixMilli(),
		}
		f.changeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
			return s.DecideAdoptCluster(settings, f.self()), nil
		})
	}
}

// place starts this node's part of a cluster, unless it runs. Founding is set for
// that of the fleet's metadata.
func (a *nodeActor) place(ctx actor.Context, p *catalog.PlacedCluster, founding *catalog.Founding) {
	name, self := p.Settings.Name, a.env.fleet.self()
	if h := a.handles[name]; h != nil {
		if h.manifest.ID != p.Settings.ID {
			a.env.log.Error("a cluster of this node has the name of another one of the fleet", "cluster", name)
		}
		return
	}
	m, known := a.env.manifests.Find(p.Settings.ID)
	if !known {
		m = placedManifest(p, self)
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
	a.locate(h, p.Nodes)
	h.Fresh = create != nil && !a.env.directory.WantsDefault.Load()
	if founding != nil || name == catalog.FleetName {
		h.fleet = a.env.fleet
		a.env.fleet.handle = h
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
	if founding {
		return
	}
	a.env.fleet.changeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		recs, _ := s.DecideClusterPhase(p.Settings.ID, catalog.PlacedCreated, "")
		return recs, nil
	})
}

// placeFailed gives up the creation of a cluster. One that exists is tried again
// when the fleet changes.
func (a *nodeActor) placeFailed(p *catalog.PlacedCluster, err error) {
	a.env.log.Error("this node's part of a cluster cannot be started", "cluster", p.Settings.Name, "error", err)
	if p.Phase != catalog.PlacedCreating {
		return
	}
	reason := fmt.Sprintf("node %d: %v", a.env.fleet.self(), err)
	a.env.fleet.changeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		recs, _ := s.DecideClusterPhase(p.Settings.ID, catalog.PlacedDeleting, reason)
		return recs, nil
	})
}

// begin makes the directories and ledgers of a node's part of a cluster.
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

func placedManifest(p *catalog.PlacedCluster, self uint64) datadir.ClusterManifest {
	s := p.Settings
	m := datadir.ClusterManifest{
		ID: s.ID, Name: s.Name, LogDirectory: s.LogDirectory, NumBrokers: s.NumBrokers, Fsync: s.Fsync,
		CreatedAt: time.UnixMilli(s.CreatedAt).UTC(), Phase: datadir.Creating, Nodes: p.Nodes,
	}
	for _, v := range catalog.MetadataVoters(s.NumBrokers) {
		m.Voters = append(m.Voters, datadir.MetadataVoter(v))
	}
	for i, node := range p.Nodes {
		if node == self {
			m.Local = append(m.Local, i+1)
		}
	}
	return m
}

// unplace ends this node's part of a cluster that is deleted, and removes its files.
func (a *nodeActor) unplace(ctx actor.Context, p *catalog.PlacedCluster) {
	self, id := a.env.fleet.self(), p.Settings.ID
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
		a.env.fleet.changeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
			return s.DecideClusterRemoved(id, self), nil
		})
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

// createInFleet places a cluster and answers once it serves here.
func (a *nodeActor) createInFleet(m *createCluster, deadline time.Time) {
	f := a.env.fleet
	if !f.belongs() {
		m.Reply.Put(clusterCreation{Err: errJoining})
		return
	}
	settings, err := catalog.Resolve(m.Spec, protocol.NewID(), a.env.now().UnixMilli())
	if err != nil {
		m.Reply.Put(clusterCreation{Err: err})
		return
	}
	var p *catalog.PlacedCluster
	created := false
	err = f.change(deadline, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		p, recs, err = s.DecidePlaceCluster(settings, m.Spec, f.usable)
		created = err == nil && len(recs) > 0
		return recs, err
	})
	if err != nil {
		m.Reply.Put(clusterCreation{Err: err})
		return
	}
	id := p.Settings.ID
	var h *clusterHandle
	failed := ""
	serves := func() bool {
		now := f.view.Load().placed[id]
		if now == nil || now.Phase == catalog.PlacedDeleting {
			failed = "it was deleted meanwhile"
			if now != nil && now.Reason != "" {
				failed = now.Reason
			}
			return true
		}
		c := a.env.directory.Clusters()[p.Settings.Name]
		if c == nil || c.View() == nil || c.View().Info.ID != id {
			return false
		}
		h = c.Control.(*clusterHandle)
		return true
	}
	switch {
	case !awaitThat(deadline, a.env.stopped, serves):
		if created {
			f.changeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
				recs, _ := s.DecideClusterPhase(id, catalog.PlacedDeleting, "its brokers did not start in time")
				return recs, nil
			})
		}
		err = protocol.Errorf(protocol.CodeNotEnoughReplicas, "the brokers of cluster %q did not start in time", p.Settings.Name)
	case failed != "":
		err = protocol.Errorf(protocol.CodeStorageFailed, "cluster %q cannot be created: %s", p.Settings.Name, failed)
	}
	m.Reply.Put(clusterCreation{Handle: h, Created: created, Err: err})
}

// deleteInFleet deletes a cluster and answers once it is gone here.
func (a *nodeActor) deleteInFleet(m *deleteCluster, deadline time.Time) {
	f := a.env.fleet
	if !f.belongs() {
		m.Reply.Put(errJoining)
		return
	}
	id := ""
	err := f.change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		p := s.PlacedByName(m.Name)
		if p == nil {
			return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", m.Name)
		}
		id = p.Settings.ID
		return s.DecideClusterPhase(id, catalog.PlacedDeleting, "")
	})
	if err != nil {
		m.Reply.Put(err)
		return
	}
	gone := func() bool {
		p := f.view.Load().placed[id]
		return p == nil || !slices.Contains(p.Nodes, f.self()) || slices.Contains(p.Removed, f.self())
	}
	if !awaitThat(deadline, a.env.stopped, gone) {
		m.Reply.Put(protocol.Errorf(protocol.CodeNotEnoughReplicas, "cluster %q is being deleted, and not all of it is gone yet", m.Name).
			WithOutcome(protocol.OutcomeApplied))
		return
	}
	m.Reply.Put(nil)
}

// startFleet starts this node's part of the fleet's metadata, or the reading of it
// where it has none.
func (a *nodeActor) startFleet(ctx actor.Context, m *fleetFound) {
	f := a.env.fleet
	f.node = m.node
	a.env.peers.SetSelf(link.NodeID(m.node.Node))
	known := &fleetView{nodes: map[uint64]*catalog.FleetNode{}}
	for _, n := range founders(&m.node.Founding).Nodes {
		known.nodes[n.ID] = &n
	}
	for _, n := range m.members {
		known.nodes[n.ID] = &n
	}
	known.tell(a.env.peers, f.self())
	for _, p := range a.known {
		h := a.env.newHandle(p.Manifest)
		a.locate(h, p.Manifest.Nodes)
		switch {
		case p.Manifest.Name == catalog.FleetName:
			h.fleet, f.handle = f, h
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
	if f.handle == nil {
		a.place(ctx, fleetPlacement(&f.node.Founding), founders(&f.node.Founding))
	}
	if f.handle == nil {
		a.env.fail(errors.New("this node's part of the fleet's metadata cannot be started; the log says why"))
		return
	}
	close(f.found)
}

// closeLink ends the connections to other nodes.
func (e *environment) closeLink() {
	if e.peers != nil {
		e.peers.Close()
	}
}

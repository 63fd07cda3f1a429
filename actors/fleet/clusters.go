package fleet

import (
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// CreateCluster places a cluster and answers once it serves at this node. Created is
// false for one that was there. Errors: those of catalog.Resolve and
// catalog.State.DecidePlaceCluster; storage_failed where a node cannot make its part.
func (f *Fleet) CreateCluster(spec *protocol.ClusterSpec, deadline time.Time) (c *routing.Cluster, created bool, err *protocol.Error) {
	if !f.Belongs() {
		return nil, false, ErrJoining
	}
	settings, err := catalog.Resolve(spec, protocol.NewID(), f.o.Now().UnixMilli())
	if err != nil {
		return nil, false, err
	}
	// The decision may be made more than once, each time on a newer state: what it has
	// found goes out of it by assignment, and only that of the last time counts.
	var p *catalog.PlacedCluster
	err = f.meta.Change(deadline, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		p, recs, err = s.DecidePlaceCluster(settings, spec, f.Usable)
		created = err == nil && len(recs) > 0
		return recs, err
	})
	if err != nil {
		return nil, false, err
	}
	id := p.Settings.ID
	// This node knows what has become of the cluster by its own view, which the metadata's
	// change reaches on its own way, and by what it serves.
	failed := ""
	serves := func() bool {
		// A node that could not make its part has had the cluster deleted, and has said
		// why.
		now := f.view.Load().Placed[id]
		if now == nil || now.Phase == catalog.PlacedDeleting {
			failed = "it was deleted meanwhile"
			if now != nil && now.Reason != "" {
				failed = now.Reason
			}
			return true
		}
		// By its id too: a cluster of this name that is being deleted may still be there.
		c = f.o.Clusters()[p.Settings.Name]
		return c != nil && c.View() != nil && c.View().Info.ID == id
	}
	switch {
	case !Await(deadline, f.o.Stopped, serves):
		// Only what this call has placed: another's cluster is not taken away because it is
		// slow to start here.
		if created {
			f.phaseSoon(id, catalog.PlacedDeleting, "its brokers did not start in time")
		}
		return nil, created, protocol.Errorf(protocol.CodeNotEnoughReplicas, "the brokers of cluster %q did not start in time", p.Settings.Name)
	case failed != "":
		return nil, created, protocol.Errorf(protocol.CodeStorageFailed, "cluster %q cannot be created: %s", p.Settings.Name, failed)
	}
	return c, created, nil
}

// DeleteCluster deletes a cluster and answers once it is gone here. Errors:
// cluster_not_found; not_enough_replicas with outcome applied where it takes longer.
func (f *Fleet) DeleteCluster(name string, deadline time.Time) *protocol.Error {
	if !f.Belongs() {
		return ErrJoining
	}
	id := ""
	err := f.meta.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		p := s.PlacedByName(name)
		if p == nil {
			return nil, protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", name)
		}
		id = p.Settings.ID
		return s.DecideClusterPhase(id, catalog.PlacedDeleting, "")
	})
	if err != nil {
		return err
	}
	// At this node: others that are down now remove their parts when they are back.
	gone := func() bool {
		p := f.view.Load().Placed[id]
		return p == nil || !slices.Contains(p.Nodes, f.Self()) || slices.Contains(p.Removed, f.Self())
	}
	if !Await(deadline, f.o.Stopped, gone) {
		return protocol.Errorf(protocol.CodeNotEnoughReplicas, "cluster %q is being deleted, and not all of it is gone yet", name).
			WithOutcome(protocol.OutcomeApplied)
	}
	return nil
}

// PlaceFirst has the default cluster created when the fleet has never had any. It does
// not matter how many nodes do so.
func (f *Fleet) PlaceFirst(name string) {
	spec := &protocol.ClusterSpec{Name: name}
	// Every node of a new fleet does this with an id of its own, and the metadata takes the
	// first.
	settings, err := catalog.Resolve(spec, protocol.NewID(), f.o.Now().UnixMilli())
	if err != nil {
		f.o.Log.Error("create the default cluster", "error", err)
		return
	}
	f.meta.ChangeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		if s.HadClusters() {
			return nil, nil
		}
		// On all nodes, heard of or not: at the beginning they are all about to start.
		_, recs, err := s.DecidePlaceCluster(settings, spec, func(uint64) bool { return true })
		return recs, err
	})
}

// Adopt enters a cluster that this node had before it belonged to the fleet.
func (f *Fleet) Adopt(i protocol.ClusterInfo) {
	settings := catalog.ClusterSettings{
		ID: i.ID, Name: i.Name, NumBrokers: i.NumBrokers, LogDirectory: i.LogDirectory, Partitions: i.Partitions,
		RetentionHours: i.RetentionHours, ReplicationFactor: i.ReplicationFactor, Fsync: i.Fsync, CreatedAt: i.CreatedAt.UnixMilli(),
	}
	f.meta.ChangeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideAdoptCluster(settings, f.Self()), nil
	})
}

// Created says that this node's part of a cluster is made.
func (f *Fleet) Created(id string) { f.phaseSoon(id, catalog.PlacedCreated, "") }

// GaveUp has a cluster deleted of which this node cannot make its part.
func (f *Fleet) GaveUp(id, reason string) { f.phaseSoon(id, catalog.PlacedDeleting, reason) }

func (f *Fleet) phaseSoon(id string, to catalog.PlacedPhase, reason string) {
	f.meta.ChangeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		recs, _ := s.DecideClusterPhase(id, to, reason)
		return recs, nil
	})
}

// Removed says that this node has removed its part of a cluster.
func (f *Fleet) Removed(id string) {
	f.meta.ChangeSoon(func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideClusterRemoved(id, f.Self()), nil
	})
}

// Await waits until a condition on the node's clusters holds; false if it does not in
// time, or the node begins to end.
func Await(deadline time.Time, stopped <-chan struct{}, holds func() bool) bool {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for !holds() {
		select {
		case <-stopped:
			return false
		// One more look: it may have come to hold since the last.
		case now := <-t.C:
			if now.After(deadline) {
				return holds()
			}
		}
	}
	return true
}

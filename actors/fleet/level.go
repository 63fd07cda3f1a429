package fleet

import (
	"time"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/link"
	"ottla/protocol"
)

// Level is the level up to which this node may write: the fleet's, once it is noted here
// that older programs are to refuse the data directory. A node that is alone, whose fleet
// is nil, may write all it knows.
func (f *Fleet) Level() int {
	if f == nil {
		return level.Newest
	}
	return int(f.level.Load())
}

// Enforce has this node follow the level of its fleet.
func (f *Fleet) Enforce(v *View) {
	// It never goes down: what was written at a level stays.
	if v.Level <= f.Level() {
		return
	}
	// Noted first, allowed after that: an older program must not find what it cannot read
	// in a directory that does not refuse it.
	if err := f.o.Raise(v.Level); err != nil {
		f.o.Log.Error("the fleet's level is not noted", "level", v.Level, "error", err)
		return // tried again when the fleet changes
	}
	f.level.Store(int64(v.Level))
	f.o.Log.Info("the fleet has another level: older versions cannot be started here any more", "level", v.Level)
}

// offer is what a node has said of its program.
func (f *Fleet) offer(id uint64) catalog.Offer {
	// It says nothing to itself over the link.
	if id == f.Self() {
		return catalog.Offer{Newest: level.Newest, Version: f.o.Self.Version, Holds: f.o.Holds}
	}
	said, heard := f.o.Said(link.NodeID(id))
	if !heard {
		// It offers nothing, which keeps the level where it is.
		return catalog.Offer{}
	}
	return catalog.Offer{Newest: said.MaxFormat, Version: said.Version, Holds: said.Holds}
}

// raisePatience is how long the level is waited for that nothing keeps from being raised.
const raisePatience = 3 * time.Second

// Needs refuses what needs a level that the fleet is not at. Where nothing keeps that from
// being raised, it waits a moment for it. Errors: not_finalized.
func (f *Fleet) Needs(what level.Feature, deadline time.Time) *protocol.Error {
	if f.Level() >= what.Level {
		return nil
	}
	if !f.Belongs() || f.view.Load() == nil {
		return ErrJoining
	}
	// Right after an upgrade the last node has only just come back, and the level follows
	// by itself.
	has := func() bool { return f.Level() >= what.Level }
	if info := f.Info(); info.WaitingFor == "" && !info.Held {
		if soon := time.Now().Add(raisePatience); soon.Before(deadline) {
			deadline = soon
		}
		if Await(deadline, f.o.Stopped, has) {
			return nil
		}
	}
	why := "GET /fleet says what it waits for"
	switch info := f.Info(); {
	case info.WaitingFor != "":
		why = info.WaitingFor
	case info.Held:
		why = "all nodes offer more, and POST /fleet/finalize raises it"
	}
	return protocol.Errorf(protocol.CodeNotFinalized, "%s need level %d, and the fleet is at level %d: %s", what.Name, what.Level, f.Level(), why)
}

// Info describes the fleet, its view being known.
func (f *Fleet) Info() protocol.FleetInfo {
	v := f.view.Load()
	info := protocol.FleetInfo{ID: f.node.Fleet, Level: f.Level(), Versions: map[string]int{}}
	for id, n := range v.Nodes {
		if n.Gone {
			continue
		}
		info.Nodes++
		// A node that is not heard of has still been entered with a version.
		o := f.offer(id)
		info.Held = info.Held || o.Holds
		if o.Version == "" {
			o.Version = n.Version
		}
		info.Versions[o.Version]++
	}
	info.Offered, info.WaitingFor = catalog.Offers(v.Nodes, v.Level, f.offer)
	info.Newest = level.Newest
	return info
}

// Finalize raises the level to what all nodes offer, also where it is held, and answers
// once this node has it. Errors: not_allowed where a node is not heard of, or does not
// offer more; those of the metadata.
func (f *Fleet) Finalize(deadline time.Time) (protocol.FleetInfo, *protocol.Error) {
	if !f.Belongs() || f.view.Load() == nil {
		return protocol.FleetInfo{}, ErrJoining
	}
	to := 0
	err := f.meta.Change(deadline, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		recs, err = s.DecideRaise(f.offer, true)
		// To the level of the state that it was decided on: so this is what is waited for
		// below.
		to, _ = catalog.Offers(s.FleetNodes(), s.Level(), f.offer)
		return recs, err
	})
	if err != nil {
		return protocol.FleetInfo{}, err
	}
	if !Await(deadline, f.o.Stopped, func() bool { return f.Level() >= to }) {
		return protocol.FleetInfo{}, protocol.Unknownf("the fleet's level is not known here in time")
	}
	return f.Info(), nil
}

package actors

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// replace has the brokers of a lost node begin anew at another one.
func (f *fleet) replace(lost, with uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	if !f.belongs() {
		return protocol.TaskInfo{}, errJoining
	}
	own := fleetPlacement(&f.node.Founding)
	own.Phase = catalog.PlacedCreated
	id := fmt.Sprintf("replace-%d-%s", lost, protocol.NewID()[:8])
	var task *catalog.FleetTask
	err := f.change(deadline, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		task, recs, err = s.DecideReplaceNode(lost, with, own, f.usable, id, f.env.now().UnixMilli())
		return recs, err
	})
	if err != nil {
		return protocol.TaskInfo{}, err
	}
	return f.taskInfo(task), nil
}

// drain has leadership leave a node, or lets it come back.
func (f *fleet) drain(id uint64, drain bool, deadline time.Time) *protocol.Error {
	if !f.belongs() {
		return errJoining
	}
	return f.change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) { return s.DecideDrainNode(id, drain) })
}

// taskInfos describes the tasks, the newest first.
func (f *fleet) taskInfos() []protocol.TaskInfo {
	v := f.view.Load()
	if v == nil {
		return nil
	}
	list := []protocol.TaskInfo{}
	for _, t := range v.tasks {
		list = append(list, f.taskInfo(t))
	}
	slices.SortFunc(list, func(a, b protocol.TaskInfo) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// taskInfo says how far a task is, as far as this node knows.
func (f *fleet) taskInfo(t *catalog.FleetTask) protocol.TaskInfo {
	info := protocol.TaskInfo{
		ID: t.ID, Kind: t.Kind, State: protocol.TaskRunning, Node: t.Node, With: t.With, StartedAt: time.UnixMilli(t.StartedAt).UTC(),
	}
	known := true
	for _, b := range t.Brokers {
		c := f.clusterByID(b.Cluster)
		var view *routing.View
		if c != nil {
			view = c.View()
		}
		if view == nil {
			known = f.deleted(b.Cluster) && known
			continue
		}
		copies := view.Rebuilt[b.Broker]
		left := copies.Replaced
		if copies.Lost {
			left = copies.Placed
		}
		info.Moved += copies.Placed - left
		info.Left += left
	}
	switch {
	case known && info.Left == 0:
		info.State = protocol.TaskDone
	case !known:
		info.WaitingFor = "this node to know all of the clusters"
	case !f.usable(t.With):
		info.WaitingFor = fmt.Sprintf("node %d, which is not heard of", t.With)
	default:
		info.WaitingFor = "replicas to be filled by the others"
	}
	return info
}

// clusterByID finds a cluster of the fleet, its own metadata included; nil if it is not
// known here.
func (f *fleet) clusterByID(id string) *routing.Cluster {
	if f.handle.manifest.ID == id {
		return f.handle.Cluster
	}
	for _, c := range f.env.directory.Clusters() {
		if view := c.View(); view != nil && view.Info.ID == id {
			return c
		}
	}
	return nil
}

// deleted reports whether a cluster does not exist any more.
func (f *fleet) deleted(id string) bool {
	p := f.view.Load().placed[id]
	return p == nil || p.Phase == catalog.PlacedDeleting
}

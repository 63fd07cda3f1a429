package fleet

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

// Replace has the brokers of a lost node begin anew at another one.
func (f *Fleet) Replace(lost, with uint64, deadline time.Time) (protocol.TaskInfo, *protocol.Error) {
	return f.begin(deadline, func(s *catalog.State) (*catalog.FleetTask, []metarecord.Record, *protocol.Error) {
		id := newTaskID(catalog.TaskReplace, lost)
		return s.DecideReplaceNode(lost, with, f.facts().Own, f.Usable, id, f.o.Now().UnixMilli())
	})
}

// Drain has leadership leave a node, or lets it come back.
func (f *Fleet) Drain(id uint64, drain bool, deadline time.Time) *protocol.Error {
	if !f.Belongs() {
		return ErrJoining
	}
	return f.meta.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) { return s.DecideDrainNode(id, drain) })
}

// TaskInfos describes the tasks, those of single clusters included.
func (f *Fleet) TaskInfos() []protocol.TaskInfo {
	v := f.view.Load()
	if v == nil {
		return nil
	}
	// Not nil: to a client no tasks are an empty list.
	list := []protocol.TaskInfo{}
	for _, t := range v.Tasks {
		list = append(list, f.taskInfo(t))
	}
	return append(list, resizes(f.o.Clusters())...)
}

// resizes describes the latest changes of the numbers of brokers.
func resizes(clusters map[string]*routing.Cluster) (list []protocol.TaskInfo) {
	for _, c := range clusters {
		if info := ResizeInfo(c); info != nil {
			list = append(list, *info)
		}
	}
	return list
}

// sortTasks sorts tasks, the newest first.
func sortTasks(list []protocol.TaskInfo) []protocol.TaskInfo {
	slices.SortFunc(list, func(a, b protocol.TaskInfo) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// taskInfo says how far a task is, as far as this node knows.
func (f *Fleet) taskInfo(t *catalog.FleetTask) protocol.TaskInfo {
	info := protocol.TaskInfo{
		ID: t.ID, Kind: t.Kind, State: protocol.TaskRunning, Node: t.Node, With: t.With, StartedAt: time.UnixMilli(t.StartedAt).UTC(),
	}
	// Other tasks move brokers, which is told by the moves; a replaced one keeps its number
	// and is filled anew.
	if t.Kind != catalog.TaskReplace {
		f.movesInfo(t, &info)
		return info
	}
	v, known := f.view.Load(), true
	for _, b := range t.Brokers {
		c := f.clusterByID(b.Cluster)
		var view *routing.View
		if c != nil {
			view = c.View()
		}
		if view == nil {
			// One that is deleted is done with.
			known = v.deleted(b.Cluster) && known
			continue
		}
		copies := view.Rebuilt[b.Broker]
		left := copies.Replaced
		// The new broker has not begun, so nothing of it is there.
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
	case !f.Usable(t.With):
		info.WaitingFor = fmt.Sprintf("node %d, which is not heard of", t.With)
	default:
		info.WaitingFor = "replicas to be filled by the others"
	}
	return info
}

// clusterByID finds a cluster of the fleet, its own metadata included; nil if it is not
// known here.
func (f *Fleet) clusterByID(id string) *routing.Cluster {
	if f.node.Fleet == id {
		return f.meta.Routes()
	}
	for _, c := range f.o.Clusters() {
		if view := c.View(); view != nil && view.Info.ID == id {
			return c
		}
	}
	return nil
}

// deleted reports whether a cluster does not exist any more.
func (v *View) deleted(id string) bool {
	p := v.Placed[id]
	return p == nil || p.Phase == catalog.PlacedDeleting
}

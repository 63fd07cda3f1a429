package routing

import (
	"maps"
	"sync/atomic"
)

// Directory lists the clusters of a node.
type Directory struct {
	// WantsDefault says that the default cluster is to be created, and is not yet.
	WantsDefault atomic.Bool

	clusters atomic.Pointer[map[string]*Cluster] // replaced, never changed
	nudge    atomic.Pointer[func()]
}

// NewDirectory returns one without clusters.
func NewDirectory() *Directory {
	d := &Directory{}
	d.clusters.Store(&map[string]*Cluster{})
	return d
}

// Clusters are all clusters by name, in a map that is never changed.
func (d *Directory) Clusters() map[string]*Cluster { return *d.clusters.Load() }

// Put makes c the cluster of that name; nil removes it. It has one caller at a
// time, the node's actor.
func (d *Directory) Put(name string, c *Cluster) {
	next := maps.Clone(d.Clusters())
	delete(next, name)
	if c != nil {
		next[name] = c
	}
	d.clusters.Store(&next)
}

// OnTopics has f called, on any goroutine, whenever a cluster's topics or
// partitions have changed. It replaces an earlier f.
func (d *Directory) OnTopics(f func()) { d.nudge.Store(&f) }

// TopicsChanged calls what OnTopics was given.
func (d *Directory) TopicsChanged() {
	if f := d.nudge.Load(); f != nil {
		(*f)()
	}
}

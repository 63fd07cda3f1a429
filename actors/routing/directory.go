package routing

import (
	"maps"
	"slices"
	"sync/atomic"

	"ottla/protocol"
)

// Directory lists the clusters of a node.
type Directory struct {
	// WantsDefault says that the default cluster is to be created, and is not yet.
	WantsDefault atomic.Bool

	clusters atomic.Pointer[map[string]*Cluster] // replaced, never changed
	onTopics atomic.Pointer[func()]
	onTokens atomic.Pointer[func()]
}

// NewDirectory returns a directory without clusters.
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
	if name == protocol.DefaultCluster {
		d.TokensChanged()
	}
}

// OnTopics sets the function that is called, on any goroutine, whenever the
// topics or partitions of a cluster have changed. It replaces an earlier one.
func (d *Directory) OnTopics(f func()) { d.onTopics.Store(&f) }

// TopicsChanged calls the function that OnTopics has set.
func (d *Directory) TopicsChanged() {
	if f := d.onTopics.Load(); f != nil {
		(*f)()
	}
}

// OnTokens sets the function that is called, on any goroutine, whenever the tokens
// may have changed: before whoever has changed them gets the answer. It must not
// block. It replaces an earlier one.
func (d *Directory) OnTokens(f func()) { d.onTokens.Store(&f) }

// TokensChanged calls the function that OnTokens has set.
func (d *Directory) TokensChanged() {
	if f := d.onTokens.Load(); f != nil {
		(*f)()
	}
}

// Subscribed reports whether a group is that of a subscription; also where that is not
// known yet.
func (d *Directory) Subscribed(clusterID, group string) bool {
	clusters := d.Clusters()
	keeper := clusters[protocol.DefaultCluster]
	if keeper == nil {
		return false
	}
	view := keeper.View()
	if view == nil {
		return true
	}
	return slices.ContainsFunc(view.Subscriptions, func(sub *protocol.Subscription) bool {
		if sub.Group != group || clusters[sub.Cluster] == nil {
			return false
		}
		of := clusters[sub.Cluster].View()
		return of == nil || of.Info.ID == clusterID
	})
}

package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// What a request means. It may leave out the cluster: then the cluster that has
// the topic or the group is meant. A commit may leave out the group as well.

// resolver finds what is meant, for one client, and refuses what that one may not do.
type resolver struct {
	*locator
	access      protocol.Access
	fleet       fleetHost
	autoCreated *protocol.Bucket // of topics that are created automatically
}

// cluster finds a cluster whose metadata is recovered. A cluster of which the
// client may not know does not exist for it.
func (rv *resolver) cluster(name string) (*routing.Cluster, *protocol.Error) {
	c := rv.directory.Clusters()[name]
	if c == nil {
		// Not found here may mean not heard of yet: another node may have made it a moment
		// ago.
		if err := rv.settle(nil); err != nil {
			return nil, err
		}
		c = rv.directory.Clusters()[name]
	}
	switch {
	case c == nil || !rv.access.Who.SeesCluster(name):
		return nil, clusterNotFound(name)
	case c.Table() == nil:
		return nil, c.Unavailable()
	}
	return c, nil
}

func clusterNotFound(name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", name)
}

// serving returns all clusters by name that the client may know of, but for those that are held back, or
// the named one.
func (rv *resolver) serving(name string) ([]*routing.Cluster, *protocol.Error) {
	if name != "" {
		c, err := rv.cluster(name)
		if err != nil {
			return nil, err
		}
		return []*routing.Cluster{c}, nil
	}
	var all []*routing.Cluster
	for _, c := range rv.directory.Clusters() {
		if !rv.access.Who.SeesCluster(c.Name) {
			continue
		}
		if c.Table() == nil {
			if c.Fresh || c.HeldBack(rv.opt.Now()) {
				continue
			}
			return nil, routing.ErrStarting
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *routing.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// settlePatience is how long a node of a fleet may take to find out whether it knows
// all there is.
const settlePatience = 3 * time.Second

// settle waits until this process knows everything that existed when it was called,
// of one cluster or of all; at once where there is no fleet. Nothing may be called
// "not found" before. Errors: there is nobody to ask.
func (rv *resolver) settle(c *routing.Cluster) *protocol.Error {
	deadline := time.Now().Add(settlePatience)
	if c != nil {
		_, err := rv.fleet.Settle(c, deadline)
		return err
	}
	if waited, err := rv.fleet.Settle(nil, deadline); !waited || err != nil {
		return err
	}
	for _, c := range rv.directory.Clusters() {
		if c.Table() == nil {
			continue
		}
		if _, err := rv.fleet.Settle(c, deadline); err != nil {
			return err
		}
	}
	return nil
}

// change has a cluster's metadata changed. What this node knows of it may be old: whatever is
// decided without writing anything, that a token does not exist or a topic is there already,
// is decided again once the node knows all that there was. Errors: decide's; nobody to ask.
func (rv *resolver) change(c *routing.Cluster, deadline time.Time, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	idle := false
	err := c.Control.Change(deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		recs, err := decide(s)
		idle = len(recs) == 0
		return recs, err
	})
	// Where the outcome is unknown it may be decided at this moment, and idle be written.
	if err != nil && err.Outcome == protocol.OutcomeUnknown || !idle {
		return err
	}
	if waited, serr := rv.fleet.Settle(c, minTime(deadline, time.Now().Add(settlePatience))); !waited || serr != nil {
		return cmp.Or(serr, err)
	}
	return c.Control.Change(deadline, decide)
}

// LookupTopic finds a topic in the routing snapshot of its cluster. Topics of which
// the client may not know are passed over.
func (rv *resolver) LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	t, err := rv.findTopic(cluster, topic, create, deadline)
	if err == nil && t.Restoring != "" {
		return nil, protocol.Errorf(protocol.CodeTopicRestoring, "topic %q is being restored from a backup, and is not complete yet", topic)
	}
	return t, err
}

// RestoringTopic resolves a topic that a producer fills from a backup. Errors: those of
// LookupTopic.
func (rv *resolver) RestoringTopic(cluster, topic, producer string) (*protocol.Topic, *protocol.Error) {
	t, err := rv.findTopic(cluster, topic, false, time.Time{})
	if err != nil || t.Restoring == producer {
		return t, err
	}
	return rv.LookupTopic(cluster, topic, false, time.Time{})
}

// findTopic resolves a topic, also one that is not complete. It is not created before this
// process is sure that it does not exist: settling first costs a question only where the
// topic is missing.
func (rv *resolver) findTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	t, err := rv.lookupTopic(cluster, topic, false, deadline)
	if err == nil || err.Code != protocol.CodeTopicNotFound {
		return t, err
	}
	if serr := rv.settle(nil); serr != nil {
		return nil, serr
	}
	return rv.lookupTopic(cluster, topic, create, deadline)
}

// lookupTopic finds a topic by what is known here. Without a cluster all are looked at.
// One that starts makes the answer uncertain: it may have the topic, and an answer that
// leaves it out would send records to another one of the same name. One that is held back is
// passed over, or a single broken cluster would keep clients from all others: it matters only
// where nothing is found (heldBack).
func (rv *resolver) lookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if cluster != "" {
		if err := rv.mayTopic(cluster, topic); err != nil {
			return nil, err
		}
		c, err := rv.cluster(cluster)
		if err != nil {
			return nil, err
		}
		if t := c.Table().Topics[topic]; t != nil {
			return t, nil
		}
		return rv.createMissing(c, cluster, topic, create, deadline)
	}
	var found, half *protocol.Topic // half: one that is restored, in whose way clients do not come
	all := rv.directory.Clusters()
	for _, c := range all {
		if !rv.access.Who.SeesTopic(c.Name, topic) {
			continue
		}
		rt := c.Table()
		if rt == nil {
			// One that is being made (Fresh) has no topic yet that anybody could mean, and one
			// that is held back may never start. Of one that starts nobody knows what it has,
			// so nothing can be said to be missing or unambiguous.
			if c.Fresh || c.HeldBack(rv.opt.Now()) {
				continue
			}
			return nil, routing.ErrStarting
		}
		t := rt.Topics[topic]
		if t == nil {
			continue
		}
		if t.Restoring != "" {
			half = t
			continue
		}
		if found != nil {
			return nil, protocol.Errorf(protocol.CodeAmbiguousTopic, "topic %q is in more than one cluster: name one (cluster=NAME)", topic)
		}
		found = t
	}
	if found = cmp.Or(found, half); found != nil {
		return found, rv.mayTopic(found.Cluster, topic)
	}
	if err := rv.mayTopic(protocol.DefaultCluster, topic); err != nil && err.Code == protocol.CodeForbidden {
		return nil, err
	}
	if err := rv.heldBack(); err != nil {
		return nil, err
	}
	if all[protocol.DefaultCluster] == nil || !rv.access.Who.SeesCluster(protocol.DefaultCluster) {
		return nil, rv.topicMissing("", topic)
	}
	c, err := rv.cluster(protocol.DefaultCluster)
	if err != nil {
		return nil, err // it is being created
	}
	return rv.createMissing(c, cluster, topic, create, deadline)
}

func topicNotFound(topic string) *protocol.Error {
	return protocol.Errorf(protocol.CodeTopicNotFound, "topic %q does not exist", topic)
}

// topicCluster finds the cluster of an existing topic.
func (rv *resolver) topicCluster(cluster, topic string) (*routing.Cluster, *protocol.Error) {
	t, err := rv.findTopic(cluster, topic, false, time.Time{})
	if err != nil {
		return nil, err
	}
	return routing.Of(t).Cluster, nil
}

// groupCluster finds the one cluster that has a group. Groups of which the client
// may not know are passed over. None is said not to exist before it is known that this
// process knows all clusters.
func (rv *resolver) groupCluster(cluster, group string) (*routing.Cluster, *protocol.Error) {
	c, err := rv.findGroup(cluster, group)
	if err == nil || err.Code != protocol.CodeGroupNotFound && err.Code != protocol.CodeClusterNotFound {
		return c, err
	}
	if serr := rv.settle(nil); serr != nil {
		return nil, serr
	}
	return rv.findGroup(cluster, group)
}

// findGroup finds a group by what is known here. If several clusters might have it, all
// their coordinators are asked.
func (rv *resolver) findGroup(cluster, group string) (*routing.Cluster, *protocol.Error) {
	if cluster != "" {
		if err := rv.mayGroup(cluster, group); err != nil {
			return nil, err
		}
	}
	all, err := rv.serving(cluster)
	if err != nil || cluster != "" {
		return first(all), err
	}
	// With one cluster there is no choice, and no coordinator has to be asked.
	held := rv.heldBack()
	if len(all) == 1 && held == nil {
		return all[0], rv.mayGroup(all[0].Name, group)
	}
	var found *routing.Cluster
	for _, c := range all {
		if !rv.access.Who.SeesGroup(c.Name, group) {
			continue
		}
		names, err := rv.groupsOf(c, 0)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, group) {
			continue
		}
		if found != nil {
			return nil, protocol.Errorf(protocol.CodeAmbiguousGroup, "group %q is in more than one cluster: name one (cluster=NAME)", group)
		}
		found = c
	}
	if found != nil {
		return found, rv.mayGroup(found.Name, group)
	}
	if err := rv.mayGroup(protocol.DefaultCluster, group); err != nil {
		return nil, err
	}
	return nil, cmp.Or(held, groupNotFound(group))
}

func first(all []*routing.Cluster) *routing.Cluster {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

func groupNotFound(group string) *protocol.Error {
	return protocol.Errorf(protocol.CodeGroupNotFound, "group %q does not exist", group)
}

// consumerGroup finds the one group that a consumer is or was in.
func (rv *resolver) consumerGroup(cluster string, id protocol.ConsumerID) (*routing.Cluster, string, *protocol.Error) {
	all, err := rv.serving(cluster)
	if err != nil {
		return nil, "", err
	}
	var at *routing.Cluster
	var groups []string
	for _, c := range all {
		names, err := rv.groupsOf(c, id)
		if err != nil {
			return nil, "", err
		}
		names = slices.DeleteFunc(names, func(group string) bool { return !rv.access.Who.SeesGroup(c.Name, group) })
		if len(names) > 0 {
			at = c
			groups = append(groups, names...)
		}
	}
	switch len(groups) {
	case 0:
		if held := rv.heldBack(); held != nil && cluster == "" {
			return nil, "", held
		}
		return nil, "", protocol.Errorf(protocol.CodeConsumerNotFound, "consumer %d has never been seen", id)
	case 1:
		return at, groups[0], rv.mayGroup(at.Name, groups[0])
	}
	return nil, "", protocol.Errorf(protocol.CodeAmbiguousGroup, "consumer %d is in more than one group: name one (group)", id).
		With("groups", groups)
}

// commitGroup finds the group that a commit means.
func (rv *resolver) commitGroup(req *protocol.CommitRequest) (*routing.Cluster, string, *protocol.Error) {
	if req.Group == "" {
		return rv.consumerGroup(req.Cluster, req.ConsumerID)
	}
	if topic := commitTopic(req); topic != "" {
		c, err := rv.topicCluster(req.Cluster, topic)
		if err == nil {
			err = rv.mayGroup(c.Name, req.Group)
		}
		return c, req.Group, err
	}
	c, err := rv.groupCluster(req.Cluster, req.Group)
	return c, req.Group, err
}

// commitTopic is a topic that a commit names: its cluster is the group's.
func commitTopic(req *protocol.CommitRequest) string {
	if req.Topic == "" && len(req.Offsets) > 0 {
		return req.Offsets[0].Topic
	}
	return req.Topic
}

// heldBack is the error for what the clusters that serve do not have: a cluster
// that is held back may have it. It is nil if none is held back.
func (rv *resolver) heldBack() *protocol.Error {
	var found *routing.Cluster
	for name, c := range rv.directory.Clusters() {
		if c.HeldBack(rv.opt.Now()) && (found == nil || name < found.Name) {
			found = c
		}
	}
	if found == nil {
		return nil
	}
	return found.Unavailable()
}

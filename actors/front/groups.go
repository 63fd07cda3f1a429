package front

import (
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// groupService tells of groups, and changes what they have committed.
type groupService struct {
	*resolver
	places *placeBook
}

// Groups lists the groups of one cluster, or of all.
func (gs *groupService) Groups(cluster string) ([]protocol.GroupInfo, *protocol.Error) {
	return gs.listGroupInfos(cluster, false)
}

// listGroupInfos describes all groups, each by itself. With asKnown the coordinators answer
// without asking their followers: cheaper, and perhaps outdated.
func (gs *groupService) listGroupInfos(cluster string, asKnown bool) ([]protocol.GroupInfo, *protocol.Error) {
	all, err := gs.serving(cluster)
	if err != nil {
		return nil, err
	}
	list := []protocol.GroupInfo{}
	for _, c := range all {
		names, err := gs.groupsOf(c, 0)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if !gs.access.Who.SeesGroup(c.Name, name) {
				continue
			}
			info, err := gs.describeGroup(c, name, asKnown)
			if err != nil {
				// The list and the descriptions are of different moments.
				if err.Code == protocol.CodeGroupNotFound {
					continue // deleted in the meantime
				}
				return nil, err
			}
			list = append(list, *info)
		}
	}
	return list, nil
}

// Group describes one group.
func (gs *groupService) Group(cluster, group string) (*protocol.GroupInfo, *protocol.Error) {
	c, err := gs.groupCluster(cluster, group)
	if err != nil {
		return nil, err
	}
	return gs.describeGroup(c, group, false)
}

// describeGroup puts together what the coordinator knows, and what the logs say of lag:
// these two are read one after the other, so the lag may be of a moment later than the
// offsets.
func (gs *groupService) describeGroup(c *routing.Cluster, group string, asKnown bool) (*protocol.GroupInfo, *protocol.Error) {
	r, err := gs.readGroup(c, group, asKnown)
	if err != nil {
		return nil, err
	}
	info := r.Info
	if info.QueueInfo != nil {
		gs.describeQueue(c, &info, &r)
	} else {
		info.Lag = gs.lagOf(c, &r)
	}
	info.Cluster = c.Name
	gs.hideTopics(c.Name, &info)
	return &info, nil
}

// lagOf adds up a group's lag on the partitions that it has anything to do with.
func (gs *groupService) lagOf(c *routing.Cluster, r *routing.GroupReading) (lag protocol.Offset) {
	topics := c.Table().Topics
	// Each partition counts once: with an offset, with an owner, or with both.
	add := func(topic string, key protocol.PartitionID) {
		t := topics[topic]
		if t == nil || t.ID != key.TopicID || key.Partition >= t.Partitions {
			return // deleted, and perhaps made anew
		}
		if row, _ := gs.offsetRow(t, key.Partition, r); row.Lag != nil {
			lag += *row.Lag
		}
	}
	committed := make(map[protocol.PartitionID]bool, len(r.Offsets))
	for i := range r.Offsets {
		committed[r.Offsets[i].Key()] = true
		add(r.Offsets[i].Topic, r.Offsets[i].Key())
	}
	for key := range r.Owners {
		if !committed[key] {
			add(r.Topics[key.TopicID], key)
		}
	}
	return lag
}

// hideTopics leaves out what the client may not know of. Copies are changed: the lists may
// be the coordinator's own.
func (gs *groupService) hideTopics(cluster string, info *protocol.GroupInfo) {
	who := gs.access.Who
	if who == nil {
		return
	}
	if q := info.QueueInfo; q != nil {
		shown := *q
		shown.Topics = slices.DeleteFunc(slices.Clone(q.Topics), func(topic string) bool { return !who.SeesTopic(cluster, topic) })
		shown.Partitions = slices.DeleteFunc(slices.Clone(q.Partitions), func(at protocol.QueuePartition) bool { return !who.SeesTopic(cluster, at.Topic) })
		info.QueueInfo = &shown
	}
	for _, list := range []*[]protocol.MemberInfo{&info.Members, &info.LapsedMembers} {
		*list = visibleMembers(who, cluster, *list)
	}
}

// visibleMembers are members without what somebody may not know of.
func visibleMembers(who *protocol.Principal, cluster string, members []protocol.MemberInfo) []protocol.MemberInfo {
	members = slices.Clone(members)
	for i := range members {
		m := &members[i]
		m.Topics = slices.DeleteFunc(slices.Clone(m.Topics), func(topic string) bool { return !who.SeesTopic(cluster, topic) })
		m.Assignment = slices.DeleteFunc(slices.Clone(m.Assignment), func(at protocol.TopicPartition) bool { return !who.SeesTopic(cluster, at.Topic) })
	}
	return members
}

// Heartbeat renews the lease of a member that does not poll.
func (gs *groupService) Heartbeat(req *protocol.HeartbeatRequest) (*protocol.HeartbeatReply, *protocol.Error) {
	h, err := gs.groupCluster(req.Cluster, req.Group)
	if err != nil {
		return nil, err
	}
	lease, err := askGroup(gs.locator, h, req.Group, time.Now().Add(gs.opt.RequestTimeout),
		func(f protocol.Future[routing.GroupLease]) routing.Question {
			return &routing.GroupHeartbeat{
				Consumer: req.ConsumerID, Generation: req.Generation, SessionMs: req.SessionTimeout.Milliseconds(), Reply: f,
			}
		},
		func(l routing.GroupLease) *protocol.Error { return l.Err })
	if err != nil {
		return nil, err
	}
	return &lease.HeartbeatReply, nil
}

// DeleteGroup deletes a group without live members.
func (gs *groupService) DeleteGroup(cluster, group string) *protocol.Error {
	return gs.changeGroup(cluster, group, routing.GroupChange{Delete: true})
}

// LeaveGroup takes a member out of its group.
func (gs *groupService) LeaveGroup(cluster, group string, id protocol.ConsumerID) *protocol.Error {
	return gs.changeGroup(cluster, group, routing.GroupChange{Leave: id})
}

// changeGroup asks for a change until somebody answers. It may so be put twice, which none
// of the changes minds: what they make is the same the second time.
func (gs *groupService) changeGroup(cluster, group string, change routing.GroupChange) *protocol.Error {
	c, err := gs.groupCluster(cluster, group)
	if err != nil {
		return err
	}
	_, err = askGroup(gs.locator, c, group, time.Now().Add(gs.opt.RequestTimeout), func(f protocol.Future[*protocol.Error]) routing.Question {
		m := change
		m.Reply = f
		return &m
	}, func(err *protocol.Error) *protocol.Error { return err })
	// An attempt before was not answered. That there is nothing left to do shows that it
	// was done.
	if err != nil && err.Outcome == protocol.OutcomeUnknown {
		switch { // an earlier attempt has done it
		case change.Leave != 0 && (err.Code == protocol.CodeConsumerNotFound || err.Code == protocol.CodeStaleGeneration),
			change.Delete && err.Code == protocol.CodeGroupNotFound:
			return nil
		}
	}
	return err
}

// StreamEnded tells a group that the client of a stream has left after the poll with
// that number, so that its share does not wait for it for long. There is no answer.
func (gs *groupService) StreamEnded(cluster, group string, id protocol.ConsumerID, number uint64) {
	if c := gs.directory.Clusters()[cluster]; c != nil {
		tellGroup(c, group, &routing.GroupPollEnded{Consumer: id, Number: number, Left: true})
	}
}

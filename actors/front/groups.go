package front

import (
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// askGroup sends a message to a group's coordinator and waits for the answer,
// following the coordinator when it moves; see askLeader.
func askGroup[T any](fr *Front, c *routing.Cluster, group string, deadline time.Time,
	message func(protocol.Future[T]) routing.Question, failed func(T) *protocol.Error,
) (T, *protocol.Error) {
	var none T
	offsets := c.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return none, routing.ErrStarting
	}
	return askLeader(fr, offsets, routing.GroupPartition(group, offsets.Partitions), deadline,
		func(to *routing.Leadership, slot protocol.Future[T]) {
			to.Ask(&routing.GroupRequest{Group: group, Msg: message(slot)})
		}, failed)
}

// groupsOf asks all coordinators of a cluster for their groups; with a
// consumer, only for those that it is or was in.
func (fr *Front) groupsOf(c *routing.Cluster, consumer protocol.ConsumerID) ([]string, *protocol.Error) {
	offsets := c.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return nil, routing.ErrStarting
	}
	var names []string
	deadline := time.Now().Add(fr.opt.RequestTimeout)
	for p := range offsets.Partitions {
		list, err := fr.listGroups(offsets, p, consumer, deadline)
		if err != nil {
			return nil, err
		}
		names = append(names, list...)
	}
	slices.Sort(names)
	return names, nil
}

func (fr *Front) listGroups(offsets *protocol.Topic, partition int, consumer protocol.ConsumerID, deadline time.Time) ([]string, *protocol.Error) {
	list, err := askLeader(fr, offsets, partition, deadline, func(to *routing.Leadership, slot protocol.Future[routing.GroupList]) {
		to.Ask(&routing.ListGroups{Consumer: consumer, Reply: slot})
	}, func(l routing.GroupList) *protocol.Error { return l.Err })
	return list.Groups, err
}

// readGroup asks for a group's offsets and members, linearizably unless asKnown.
func (fr *Front) readGroup(c *routing.Cluster, group string, asKnown bool) (routing.GroupReading, *protocol.Error) {
	return askGroup(fr, c, group, time.Now().Add(fr.opt.RequestTimeout),
		func(f protocol.Future[routing.GroupReading]) routing.Question {
			return &routing.GroupRead{AsKnown: asKnown, Reply: f}
		},
		func(a routing.GroupReading) *protocol.Error { return a.Err })
}

// Groups lists the groups of one cluster, or of all.
func (fr *Front) Groups(cluster string) ([]protocol.GroupInfo, *protocol.Error) {
	return fr.listGroupInfos(cluster, false)
}

func (fr *Front) listGroupInfos(cluster string, asKnown bool) ([]protocol.GroupInfo, *protocol.Error) {
	all, err := fr.serving(cluster)
	if err != nil {
		return nil, err
	}
	list := []protocol.GroupInfo{}
	for _, c := range all {
		names, err := fr.groupsOf(c, 0)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if !fr.access.Who.SeesGroup(c.Name, name) {
				continue
			}
			info, err := fr.describeGroup(c, name, asKnown)
			if err != nil {
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
func (fr *Front) Group(cluster, group string) (*protocol.GroupInfo, *protocol.Error) {
	c, err := fr.groupCluster(cluster, group)
	if err != nil {
		return nil, err
	}
	return fr.describeGroup(c, group, false)
}

func (fr *Front) describeGroup(c *routing.Cluster, group string, asKnown bool) (*protocol.GroupInfo, *protocol.Error) {
	r, err := fr.readGroup(c, group, asKnown)
	if err != nil {
		return nil, err
	}
	info := r.Info
	if info.QueueInfo != nil {
		fr.describeQueue(c, &info, &r)
	} else {
		info.Lag = fr.lagOf(c, &r)
	}
	info.Cluster = c.Name
	fr.hideTopics(c.Name, &info)
	return &info, nil
}

// lagOf adds up a group's lag on the partitions that it has anything to do with.
func (fr *Front) lagOf(c *routing.Cluster, r *routing.GroupReading) (lag protocol.Offset) {
	topics := c.Table().Topics
	add := func(topic string, key protocol.PartitionID) {
		t := topics[topic]
		if t == nil || t.ID != key.TopicID || key.Partition >= t.Partitions {
			return // deleted, and perhaps made anew
		}
		if row, _ := fr.offsetRow(t, key.Partition, r); row.Lag != nil {
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

// hideTopics leaves out what the client may not know of.
func (fr *Front) hideTopics(cluster string, info *protocol.GroupInfo) {
	who := fr.access.Who
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
func (fr *Front) Heartbeat(req *protocol.HeartbeatRequest) (*protocol.HeartbeatReply, *protocol.Error) {
	h, err := fr.groupCluster(req.Cluster, req.Group)
	if err != nil {
		return nil, err
	}
	lease, err := askGroup(fr, h, req.Group, time.Now().Add(fr.opt.RequestTimeout),
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
func (fr *Front) DeleteGroup(cluster, group string) *protocol.Error {
	return fr.changeGroup(cluster, group, routing.GroupChange{Delete: true})
}

// LeaveGroup takes a member out of its group.
func (fr *Front) LeaveGroup(cluster, group string, id protocol.ConsumerID) *protocol.Error {
	return fr.changeGroup(cluster, group, routing.GroupChange{Leave: id})
}

func (fr *Front) changeGroup(cluster, group string, change routing.GroupChange) *protocol.Error {
	c, err := fr.groupCluster(cluster, group)
	if err != nil {
		return err
	}
	_, err = askGroup(fr, c, group, time.Now().Add(fr.opt.RequestTimeout), func(f protocol.Future[*protocol.Error]) routing.Question {
		m := change
		m.Reply = f
		return &m
	}, func(err *protocol.Error) *protocol.Error { return err })
	if err != nil && err.Outcome == protocol.OutcomeUnknown {
		switch { // an earlier attempt has done it
		case change.Leave != 0 && (err.Code == protocol.CodeConsumerNotFound || err.Code == protocol.CodeStaleGeneration),
			change.Delete && err.Code == protocol.CodeGroupNotFound:
			return nil
		}
	}
	return err
}

package front

import (
	"cmp"
	"slices"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// askGroup sends a message to a group's coordinator and waits for the answer, following the
// coordinator when it moves; see askLeader. Which partition keeps a group follows from its
// name, so whoever leads that partition is the group's coordinator, and nobody has to look
// it up.
func askGroup[T any](lc *locator, c *routing.Cluster, group string, deadline time.Time,
	message func(protocol.Future[T]) routing.Question, failed func(T) *protocol.Error,
) (T, *protocol.Error) {
	var none T
	offsets := c.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return none, routing.ErrStarting
	}
	return askLeader(lc, offsets, routing.GroupPartition(group, offsets.Partitions), deadline,
		func(to *routing.Leadership, slot protocol.Future[T]) {
			to.Ask(&routing.GroupRequest{Group: group, Msg: message(slot)})
		}, failed)
}

// groupsOf asks all coordinators of a cluster for their groups; with a
// consumer, only for those that it is or was in.
func (lc *locator) groupsOf(c *routing.Cluster, consumer protocol.ConsumerID) ([]string, *protocol.Error) {
	offsets := c.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return nil, routing.ErrStarting
	}
	var names []string
	deadline := time.Now().Add(lc.opt.RequestTimeout)
	// A partition that cannot be asked is an error, and not a shorter list: a group that is
	// missing in it would seem to be deleted.
	for p := range offsets.Partitions {
		list, err := lc.listGroups(offsets, p, consumer, deadline)
		if err != nil {
			return nil, err
		}
		names = append(names, list...)
	}
	slices.Sort(names)
	return names, nil
}

// listGroups asks one coordinator for the groups that it keeps, those that have no actor
// included.
func (lc *locator) listGroups(offsets *protocol.Topic, partition int, consumer protocol.ConsumerID, deadline time.Time) ([]string, *protocol.Error) {
	list, err := askLeader(lc, offsets, partition, deadline, func(to *routing.Leadership, slot protocol.Future[routing.GroupList]) {
		to.Ask(&routing.ListGroups{Consumer: consumer, Reply: slot})
	}, func(l routing.GroupList) *protocol.Error { return l.Err })
	return list.Groups, err
}

// readGroup asks for a group's offsets and members, linearizably unless asKnown.
func (lc *locator) readGroup(c *routing.Cluster, group string, asKnown bool) (routing.GroupReading, *protocol.Error) {
	return askGroup(lc, c, group, time.Now().Add(lc.opt.RequestTimeout),
		func(f protocol.Future[routing.GroupReading]) routing.Question {
			return &routing.GroupRead{AsKnown: asKnown, Reply: f}
		},
		func(a routing.GroupReading) *protocol.Error { return a.Err })
}

// askLeader puts a question that may be asked twice to the leader of a
// partition, and to the next one when that does not lead, ends, or cannot tell
// what became of it. failed takes the error out of an answer. Errors: those of
// locator.leaderless when there was no leader for routing.FailoverPatience;
// outcome_unknown. Once a question has gone unanswered, or was answered so, the
// outcome of any further error is unknown.
func askLeader[T any](lc *locator, t *protocol.Topic, partition int, deadline time.Time,
	put func(*routing.Leadership, protocol.Future[T]), failed func(T) *protocol.Error,
) (T, *protocol.Error) {
	// Each attempt has a slot of its own: an answer to an earlier one may still come, and
	// must not be taken for that of this one.
	f := follow[T]{
		locator: lc, topic: t, partition: partition, deadline: deadline, attempt: unansweredLeader,
		put: put, failed: failed, judge: judgeRepeatable,
	}
	f.begin(protocol.NewFuture[T]())
	return f.run()
}

// offsetRow describes a group on one partition; mentioned reports whether the
// group has anything to do with it.
func (lc *locator) offsetRow(t *protocol.Topic, partition int, r *routing.GroupReading) (row protocol.OffsetInfo, mentioned bool) {
	key := protocol.PartitionID{TopicID: t.ID, Partition: partition}
	row = protocol.OffsetInfo{Topic: t.Name, Partition: partition}
	for i := range r.Offsets {
		if o := &r.Offsets[i]; o.Key() == key {
			at := o.Offset
			row.Committed, row.Metadata, row.CommittedAt = &at, o.Metadata, time.UnixMilli(o.At).UTC()
			mentioned = true
		}
	}
	if owner, ok := r.Owners[key]; ok {
		row.Owner, mentioned = &owner, true
	}
	if at, ok := r.Positions[key]; ok {
		row.Position = &at
	}
	// The end of the log is taken from whoever leads now and is not waited for: a partition
	// without a leader has no lag to show, and the rest of the row is true all the same.
	ref := routing.Of(t).Partitions[partition].Leader()
	if ref == nil {
		return row, mentioned
	}
	if v, err := ref.View(); err == nil {
		end := protocol.Offset(v.HighWatermark())
		from := protocol.Offset(v.Earliest())
		if row.Committed != nil {
			from = *row.Committed
		}
		lag := max(0, end-from)
		row.BeyondEnd = from > end
		row.End, row.Lag = &end, &lag
	}
	return row, mentioned
}

// describeQueue adds what the leaders of its partitions know, and its lag.
func (lc *locator) describeQueue(c *routing.Cluster, info *protocol.GroupInfo, r *routing.GroupReading) {
	q := *info.QueueInfo
	info.QueueInfo = &q
	q.Partitions = slices.Clone(q.Partitions)
	table := c.Table()
	for id, name := range r.Topics {
		t := table.Topics[name]
		if t == nil || t.ID != id {
			continue
		}
		for p := range t.Partitions {
			v, _, err := lc.view(t, p, 0)
			if err != nil {
				continue
			}
			i := slices.IndexFunc(q.Partitions, func(at protocol.QueuePartition) bool { return at.Topic == name && at.Partition == p })
			if i < 0 {
				q.Partitions = append(q.Partitions, protocol.QueuePartition{
					Topic: name, Partition: p, Position: protocol.Offset(v.Earliest()), End: protocol.Offset(v.Earliest()),
				})
				i = len(q.Partitions) - 1
			}
			at := &q.Partitions[i]
			if end := protocol.Offset(v.HighWatermark()); end > at.End {
				at.Ready += int64(end - max(at.End, at.Position))
				at.End = end
			}
		}
	}
	slices.SortFunc(q.Partitions, func(a, b protocol.QueuePartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for i := range q.Partitions {
		at := &q.Partitions[i]
		info.Lag += protocol.Offset(at.Ready) + protocol.Offset(at.InFlight) + protocol.Offset(at.Delayed)
	}
	slices.Sort(q.Topics)
}

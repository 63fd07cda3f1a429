package front

import (
	"context"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// createMissing creates a topic that c does not have, if create and the
// configuration allow it. cluster is the one that the client has named, if any.
func (rv *resolver) createMissing(c *routing.Cluster, cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if !create || !rv.opt.AutoCreateTopics || protocol.IsInternalTopic(topic) {
		return nil, rv.topicMissing(cluster, topic)
	}
	if err := rv.mayCreate(c.Name, topic); err != nil {
		return nil, err
	}
	// Clients that make up names would otherwise fill the node with topics.
	if wait := rv.autoCreated.Take(1, int64(rv.opt.AutoCreatesPerMinute), time.Minute, rv.opt.Now()); wait > 0 {
		e := protocol.Errorf(protocol.CodeTooManyCreations, "topic %q does not exist, and %d topics a minute are created automatically at most: limits.auto_creates_per_minute",
			topic, rv.opt.AutoCreatesPerMinute).With("limit", rv.opt.AutoCreatesPerMinute)
		e.RetryAfter = wait
		return nil, e
	}
	if _, err := rv.createTopic(c, &protocol.TopicSpec{Name: topic}, deadline); err != nil {
		return nil, byTheWay(err)
	}
	if t := c.Table().Topics[topic]; t != nil {
		return t, nil
	}
	return nil, topicNotFound(topic) // deleted again in the meantime
}

// byTheWay is what the failure to make a topic means to a request that needs it for something
// else: that is not done yet, also where the topic is made.
func byTheWay(err *protocol.Error) *protocol.Error {
	if err != nil && err.Outcome == protocol.OutcomeApplied {
		return err.WithOutcome(protocol.OutcomeNone)
	}
	return err
}

// deadline is when a request must be answered: as its client says, but not later than any
// may be.
func (rv *resolver) deadline(ctx context.Context) time.Time {
	d := time.Now().Add(rv.opt.RequestTimeout)
	if at, ok := ctx.Deadline(); ok {
		return minTime(d, at)
	}
	return d
}

// createTopic makes a topic and waits until all its partitions have leaders.
func (rv *resolver) createTopic(c *routing.Cluster, spec *protocol.TopicSpec, deadline time.Time) (created bool, err *protocol.Error) {
	limits := rv.limitsFor(c)
	// Decided on the cluster's own goroutine, perhaps more than once: a topic that was made
	// meanwhile is found there, and created stays false.
	err = rv.change(c, deadline, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		_, recs, err := s.DecideCreateTopic(spec, protocol.NewID(), rv.opt.Millis(), limits)
		created = err == nil && len(recs) > 0
		return recs, err
	})
	if err != nil {
		return false, err
	}
	return created, rv.awaitLeaders(c, spec.Name, deadline)
}

// limitsFor are the bounds of topics in a cluster, with the room that the others leave.
// What others have is as of their last pictures, so two clusters that grow at once may
// exceed a limit by what each did not see of the other.
func (rv *resolver) limitsFor(c *routing.Cluster) catalog.TopicLimits {
	limits := rv.opt.Limits
	limits.Level = rv.fleet.Level()
	room := &limits.Room
	room.ReplicasElsewhere = map[uint64]int{}
	room.Owner, room.Owned = rv.access.Who.Entry(), rv.access.Who.Usage().Partitions()
	for _, other := range rv.directory.Clusters() {
		if view := other.View(); other != c && view != nil {
			for node, n := range view.Replicas {
				room.ReplicasElsewhere[node] += n
			}
			room.OwnedElsewhere += view.Owned[room.Owner]
		}
	}
	return limits
}

// makeDeadLetterTopic creates a topic for the dead letters of another, with as many
// partitions.
func (rv *resolver) makeDeadLetterTopic(c *routing.Cluster, topic, dead string, deadline time.Time) *protocol.Error {
	table := c.Table()
	if table.Topics[dead] != nil {
		return nil
	}
	spec := &protocol.TopicSpec{Name: dead}
	if t := table.Topics[topic]; t != nil {
		spec.Partitions = &t.Partitions
	}
	_, err := rv.createTopic(c, spec, deadline)
	if err != nil && err.Code == protocol.CodeTopicExists {
		return nil
	}
	return byTheWay(err)
}

func (rv *resolver) soon() time.Time { return time.Now().Add(rv.opt.RequestTimeout) }

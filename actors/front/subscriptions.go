package front

import (
	"context"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Subscriptions are kept like sources, in the metadata of the default cluster. Who may
// administer all topics of one may make and change it; who may know of one of them may
// see it.

// Subscriptions are the subscriptions that the client may see, by name. Errors:
// starting, not_enough_replicas.
func (rg *registryService) Subscriptions() ([]*protocol.Subscription, *protocol.Error) {
	c, err := rg.tokenCluster()
	switch {
	case err == nil:
	case err.Code == protocol.CodeClusterNotFound:
		return nil, nil
	default:
		return nil, err
	}
	var seen []*protocol.Subscription
	for _, sub := range c.View().Subscriptions {
		if rg.seesSubscription(sub) {
			seen = append(seen, sub)
		}
	}
	return seen, nil
}

// seesSubscription reports whether the client may know of one of its topics.
func (rg *registryService) seesSubscription(sub *protocol.Subscription) bool {
	for _, topic := range sub.Topics {
		if rg.access.Who.SeesTopic(sub.Cluster, topic) {
			return true
		}
	}
	return false
}

// Subscription finds a subscription. Errors: subscription_not_found, also for one that
// the client may not see; starting, not_enough_replicas.
func (rg *registryService) Subscription(name string) (*protocol.Subscription, *protocol.Error) {
	c, err := rg.tokenCluster()
	if err != nil && err.Code == protocol.CodeClusterNotFound {
		return nil, catalog.SubscriptionNotFound(name)
	}
	if err != nil {
		return nil, err
	}
	at, found := catalog.FindSubscription(c.View().Subscriptions, name)
	if !found {
		if err := rg.settle(c); err != nil {
			return nil, err
		}
		at, found = catalog.FindSubscription(c.View().Subscriptions, name)
	}
	if !found || !rg.seesSubscription(c.View().Subscriptions[at]) {
		return nil, catalog.SubscriptionNotFound(name)
	}
	return c.View().Subscriptions[at], nil
}

// PutSubscription creates a subscription or replaces its settings. Errors:
// too_many_subscriptions, topic_not_found, cluster_not_found, ambiguous_topic; not_allowed
// where its group is a queue; forbidden for who may not administer its topics, or those that
// it had before.
func (rg *registryService) PutSubscription(ctx context.Context, spec *protocol.SubscriptionSpec) (sub *protocol.Subscription, created bool, err *protocol.Error) {
	s := *spec
	if err := rg.completeSubscription(&s); err != nil {
		return nil, false, err
	}
	c, err := rg.cluster(s.Cluster)
	if err != nil {
		return nil, false, err
	}
	if r, err := rg.readGroup(c, s.Group, true); err == nil && r.Info.QueueInfo != nil {
		return nil, false, protocol.Errorf(protocol.CodeNotAllowed, "group %q is a queue, whose records belong to its workers: name another group", s.Group).With("field", "group")
	}
	fresh, err := rg.sh.ids.take(c)
	if err != nil {
		return nil, false, err
	}
	err = rg.changeTokens(ctx, func(state *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		if err := rg.mayChangeSubscription(state, s.Name); err != nil {
			return nil, err
		}
		sub, created, recs, err = state.DecidePutSubscription(&s, fresh, rg.opt.Millis(), rg.opt.MaxSubscriptions)
		return recs, err
	})
	if err == nil && created && sub.FromLatest {
		err = rg.beginAtLatest(sub)
	}
	return sub, created, err
}

// beginAtLatest commits where a subscription begins that is to have nothing of what is
// there: whoever was told that it is made has what comes from then on, however long it takes
// until somebody delivers. It does as the one who delivers will, as the same member.
func (rg *registryService) beginAtLatest(sub *protocol.Subscription) *protocol.Error {
	_, err := rg.sh.own.Poll(&protocol.PollRequest{
		Cluster: sub.Cluster, Group: sub.Group, ConsumerID: sub.ConsumerID, Topics: sub.Topics, SessionTimeout: rg.opt.SessionTimeout,
		MaxRecords: 1, MaxBytes: 1, SkipGaps: true, From: protocol.StartFrom{Latest: true},
	}, nil)
	if err == nil && sub.Paused {
		err = rg.sh.own.LeaveGroup(sub.Cluster, sub.Group, sub.ConsumerID)
	}
	if err != nil {
		return err.WithOutcome(protocol.OutcomeApplied) // but for where it begins
	}
	return nil
}

// completeSubscription finds the cluster and the group that are meant, and refuses what
// the client may not have delivered.
func (rg *registryService) completeSubscription(s *protocol.SubscriptionSpec) *protocol.Error {
	for _, name := range s.Topics {
		t, err := rg.LookupTopic(s.Cluster, name, false, time.Time{})
		if err != nil {
			return err
		}
		if err := rg.mayTopic(t.Cluster, name); err != nil {
			return err
		}
		s.Cluster = t.Cluster
	}
	if s.DeadLetter != "" {
		if err := rg.mayTopic(s.Cluster, s.DeadLetter); err != nil {
			return err
		}
	}
	if s.Group == "" {
		s.Group = s.DefaultGroup()
		return nil
	}
	return rg.mayJoin(s.Cluster, s.Group)
}

// AlterSubscription has change change settings of a subscription. Errors:
// subscription_not_found; forbidden; those of change.
func (rg *registryService) AlterSubscription(ctx context.Context, name string, change func(*protocol.SubscriptionSpec) *protocol.Error) (sub *protocol.Subscription, err *protocol.Error) {
	err = rg.changeTokens(ctx, func(state *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		at, found := catalog.FindSubscription(state.Subscriptions(), name)
		if !found || !rg.seesSubscription(state.Subscriptions()[at]) {
			return nil, catalog.SubscriptionNotFound(name)
		}
		if err := rg.mayChangeSubscription(state, name); err != nil {
			return nil, err
		}
		s := state.Subscriptions()[at].SubscriptionSpec
		if err := change(&s); err != nil {
			return nil, err
		}
		if s.DeadLetter != "" {
			if err := rg.mayTopic(s.Cluster, s.DeadLetter); err != nil {
				return nil, err
			}
		}
		sub, _, recs, err = state.DecidePutSubscription(&s, 0, 0, rg.opt.MaxSubscriptions)
		return recs, err
	})
	return sub, err
}

// DeleteSubscription deletes a subscription; its group stays. Errors:
// subscription_not_found; forbidden.
func (rg *registryService) DeleteSubscription(ctx context.Context, name string) *protocol.Error {
	return rg.changeTokens(ctx, func(state *catalog.State) ([]metarecord.Record, *protocol.Error) {
		if err := rg.mayChangeSubscription(state, name); err != nil {
			return nil, err
		}
		return state.DecideDeleteSubscription(name)
	})
}

// mayChangeSubscription refuses to change a subscription to a topic that the client may
// not administer.
func (rg *registryService) mayChangeSubscription(state *catalog.State, name string) *protocol.Error {
	at, found := catalog.FindSubscription(state.Subscriptions(), name)
	if !found {
		return nil
	}
	sub := state.Subscriptions()[at]
	for _, topic := range sub.Topics {
		if !rg.access.Who.Topic(protocol.RightAdmin, sub.Cluster, topic) {
			return rg.access.Forbidden(protocol.RightAdmin, "subscription", "", name)
		}
	}
	return nil
}

// keepsSubscriptions refuses to delete the cluster that keeps the subscriptions, while
// there are any.
func (rg *registryService) keepsSubscriptions(cluster string) *protocol.Error {
	c := rg.directory.Clusters()[cluster]
	if cluster != protocol.DefaultCluster || c == nil || c.View() == nil || len(c.View().Subscriptions) == 0 {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotAllowed, "cluster %q keeps the subscriptions of all clusters, %d of them: delete those first", cluster, len(c.View().Subscriptions))
}

// Delivering are the subscriptions whose group has its coordinator in this process:
// exactly one process of a fleet delivers each, but for moments in which that moves.
func (rg *registryService) Delivering() []*protocol.Subscription {
	c := rg.directory.Clusters()[protocol.DefaultCluster]
	if c == nil || c.View() == nil {
		return nil
	}
	var mine []*protocol.Subscription
	for _, sub := range c.View().Subscriptions {
		if !sub.Paused && rg.coordinates(sub.Cluster, sub.Group) {
			mine = append(mine, sub)
		}
	}
	return mine
}

// coordinates reports whether the coordinator of a group is in this process.
func (rg *registryService) coordinates(cluster, group string) bool {
	c := rg.directory.Clusters()[cluster]
	if c == nil || c.Table() == nil {
		return false
	}
	offsets := c.Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return false
	}
	leader := routing.Of(offsets).Partitions[routing.GroupPartition(group, offsets.Partitions)].Leader()
	return leader != nil && !leader.Away
}

// SubscriptionState says how the deliveries of a subscription go, as its group has it.
func (rg *registryService) SubscriptionState(sub *protocol.Subscription) protocol.SubscriptionState {
	s := protocol.SubscriptionState{State: "active"}
	if r, err := rg.readDeliveries(sub); err != nil {
		s.LastError = err.Message
	} else {
		rg.sumDeliveries(&s, sub, &r)
	}
	switch {
	case sub.Paused:
		s.State = "paused"
	case s.FailingSince != nil || s.LastError != "":
		s.State = "failing"
	}
	return s
}

// readDeliveries reads the group of a subscription; one that has not begun yet has no
// group.
func (rg *registryService) readDeliveries(sub *protocol.Subscription) (r routing.GroupReading, err *protocol.Error) {
	c, err := rg.cluster(sub.Cluster)
	if err != nil {
		return r, err
	}
	if r, err = rg.readGroup(c, sub.Group, true); err != nil && err.Code == protocol.CodeGroupNotFound {
		return routing.GroupReading{}, nil
	}
	return r, err
}

func (rg *registryService) sumDeliveries(s *protocol.SubscriptionState, sub *protocol.Subscription, r *routing.GroupReading) {
	var lag protocol.Offset
	known := true
	var last protocol.DeliveryNote
	for _, name := range sub.Topics {
		t, err := rg.LookupTopic(sub.Cluster, name, false, time.Time{})
		if err != nil {
			s.LastError, known = err.Message, false
			continue
		}
		for p := range t.Partitions {
			row, _ := rg.offsetRow(t, p, r)
			if known = known && row.Lag != nil; known {
				lag += *row.Lag
			}
			note := protocol.ParseDeliveryNote(row.Metadata)
			if note.At > last.At {
				last = note
			}
			if note.FailingSince != 0 {
				since := time.UnixMilli(note.FailingSince).UTC()
				if s.FailingSince == nil || since.Before(*s.FailingSince) {
					s.FailingSince = &since
				}
			}
		}
	}
	if known {
		s.Lag = &lag
	}
	if last.At == 0 {
		return
	}
	at := time.UnixMilli(last.At).UTC()
	s.LastAttemptAt = &at
	if last.Status != 0 {
		s.LastStatus = &last.Status
	}
	if s.LastError == "" {
		s.LastError = last.Error
	}
}

package group

import (
	"slices"
	"strings"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// AssignedPartition is one partition of a member's share. Committed is nil
// while the group has no offset for it: then its start is resolved and
// committed by DecideStart.
type AssignedPartition struct {
	Topic     string
	TopicID   string
	Partition int
	Committed *protocol.Offset
	Added     bool // to the topic while the group existed
}

// PollDecision is what a poll's subscription leads to.
type PollDecision struct {
	Generation protocol.Generation // after Records
	Assigned   []AssignedPartition // the member's share after Records, by topic id and partition
	Records    []metarecord.Record // to be committed first; none when nothing changes
}

// DecidePoll subscribes the consumer to topics with a lease of sessionMs: it
// joins, or changes its subscription, or nothing changes. Lapsed members
// whose partitions it can take over are expired in the same generation. When the
// records are applied, call Polled. Errors: too_many_requests (the group is full).
func (g *State) DecidePoll(now int64, id protocol.ConsumerID, topics []SubscribedTopic, sessionMs int64) (PollDecision, *protocol.Error) {
	if g.now.unchangedBy(id, topics, sessionMs) && len(g.replaceable(now, g.now, id)) == 0 {
		return PollDecision{Generation: g.now.Generation, Assigned: g.assigned(g.now, id)}, nil
	}
	next := g.now.clone()
	action := next.subscribe(id, topics, sessionMs)
	g.rememberFirst(next)
	d := PollDecision{}
	switch {
	case action == actionJoin, action == actionResubscribe:
		next = g.nextGeneration(now, next, id)
		if action == actionJoin && len(next.Members) > maxGroupMembers {
			return d, protocol.Errorf(protocol.CodeTooManyRequests,
				"group %q has %d members, no more can join", g.name, maxGroupMembers).With("limit", maxGroupMembers)
		}
	case len(g.replaceable(now, next, id)) > 0:
		action = actionExpire
		next = g.nextGeneration(now, next, id)
	}
	if action != "" {
		d.Records = g.memberRecords(now, action, next)
	}
	d.Generation, d.Assigned = next.Generation, g.assigned(next, id)
	return d, nil
}

// rememberFirst corrects First of topics that m has and the group has not now, but had
// before: partitions that came while nobody subscribed to them were added, too.
func (g *State) rememberFirst(m *membership) {
	for i := range m.Topics {
		t := &m.Topics[i]
		if g.now.topic(t.ID) != nil {
			continue
		}
		known := 0
		for key := range g.offsets.All() {
			if key.TopicID == t.ID {
				known = max(known, key.Partition+1)
			}
		}
		if known > 0 {
			t.First = min(t.First, known)
		}
	}
}

// DecideStart commits where the group starts on partitions of the member's that
// have no offset yet; one that has got one in the meantime keeps it. The offsets
// committed afterwards are returned in the order of starts. Errors: as
// DecideAutoCommit, but for offset_regression.
func (g *State) DecideStart(now int64, id protocol.ConsumerID, generation protocol.Generation, starts []PartitionOffset) (committed []PartitionOffset, recs []metarecord.Record, err *protocol.Error) {
	if err := g.checkCommitter(id, &generation, starts, true); err != nil {
		return nil, nil, err
	}
	committed = slices.Clone(starts)
	for i := range committed {
		if have, ok := g.offsets.Get(committed[i].Key()); ok {
			committed[i].Offset, committed[i].Metadata = have.Offset, have.Metadata
			continue
		}
		recs = append(recs, g.commitRecord(now, committed[i], 0))
	}
	return committed, recs, nil
}

// assigned lists what id owns in m, with the committed offsets.
func (g *State) assigned(m *membership, id protocol.ConsumerID) []AssignedPartition {
	var list []AssignedPartition
	for i := range m.Topics {
		t := &m.Topics[i]
		for p, owner := range t.Owners {
			if owner != id {
				continue
			}
			a := AssignedPartition{Topic: t.Name, TopicID: t.ID, Partition: p, Added: t.First > 0 && p >= t.First}
			if c, ok := g.offsets.Get(protocol.PartitionID{TopicID: t.ID, Partition: p}); ok {
				at := c.Offset // of its own, so that the answer does not keep c in memory
				a.Committed = &at
			}
			list = append(list, a)
		}
	}
	return list
}

// unchangedBy reports whether the subscription is the member's present one, with
// no new partitions. It is a quick test for what nearly every poll asks: it may
// report false where subscribe finds no change (topics in another order).
func (m *membership) unchangedBy(id protocol.ConsumerID, topics []SubscribedTopic, sessionMs int64) bool {
	gm := m.member(id)
	if gm == nil || gm.LapsedAt != 0 || gm.SessionMs != sessionMs || len(gm.Topics) != len(topics) {
		return false
	}
	for i := range topics {
		t := m.topic(topics[i].ID)
		if gm.Topics[i] != topics[i].ID || t == nil || len(t.Owners) < topics[i].Partitions {
			return false
		}
	}
	return true
}

// subscribe puts the subscription into m and returns the action of the record
// that says so; "" if nothing changed. Known partitions never become fewer: a
// routing table that lags behind must not take them away again.
func (m *membership) subscribe(id protocol.ConsumerID, topics []SubscribedTopic, sessionMs int64) (action string) {
	var ids []string
	grown := false
	for _, t := range topics {
		ids = append(ids, t.ID)
		grown = m.addTopic(t) || grown
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	at, known := m.find(id)
	if !known {
		m.Members = slices.Insert(m.Members, at, Member{ID: id, Topics: ids, SessionMs: sessionMs})
		m.Former = slices.DeleteFunc(m.Former, func(f protocol.ConsumerID) bool { return f == id })
		return actionJoin
	}
	have := m.Members[at]
	m.Members[at] = Member{ID: id, Topics: ids, SessionMs: sessionMs}
	switch {
	case grown || !slices.Equal(have.Topics, ids):
		return actionResubscribe
	case have.SessionMs != sessionMs || have.LapsedAt != 0:
		return actionUpdateMember
	}
	return ""
}

// addTopic adds a topic, or partitions of it, without owners. It reports whether m
// changed.
func (m *membership) addTopic(t SubscribedTopic) bool {
	at, known := slices.BinarySearchFunc(m.Topics, t.ID, func(gt Topic, id string) int { return strings.Compare(gt.ID, id) })
	if !known {
		m.Topics = slices.Insert(m.Topics, at, Topic{ID: t.ID, Name: t.Name, First: t.Partitions})
	}
	have := &m.Topics[at]
	if len(have.Owners) >= t.Partitions {
		return !known
	}
	more := make([]protocol.ConsumerID, t.Partitions-len(have.Owners))
	have.Owners = append(have.Owners, more...)
	return true
}

// remove takes a member out; it is remembered as a former one.
func (m *membership) remove(id protocol.ConsumerID) {
	at, ok := m.find(id)
	if !ok {
		return
	}
	m.Members = slices.Delete(m.Members, at, at+1)
	m.Former = append(m.Former, id)
	if n := len(m.Former) - maxFormerMembers; n > 0 {
		m.Former = slices.Delete(m.Former, 0, n)
	}
}

// nextGeneration returns the next generation of m: every partition has its owner,
// and the lapsed members that can be replaced are gone. Removing one may give a
// partition that a live member wants to another lapsed one, hence the loop.
// Arriving is a member that counts as live, 0: none.
func (g *State) nextGeneration(now int64, m *membership, arriving protocol.ConsumerID) *membership {
	next := m.clone()
	next.Generation++
	for {
		gone := g.replaceable(now, next, arriving)
		for _, id := range gone {
			next.remove(id)
		}
		next.rebalance()
		if len(gone) == 0 {
			return next
		}
	}
}

// rebalance drops topics that nobody subscribes to, and gives every partition of
// the others an owner.
func (m *membership) rebalance() {
	used := map[string]bool{}
	for _, gm := range m.Members {
		for _, t := range gm.Topics {
			used[t] = true
		}
	}
	m.Topics = slices.DeleteFunc(m.Topics, func(t Topic) bool { return !used[t.ID] })
	assignPartitions(m.Members, m.Topics)
}

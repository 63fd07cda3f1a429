package group

import (
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Polled renews the lease of a member at the beginning of a poll that may wait
// for records for waitMs: a waiting poll is a sign of life until it ends. It also
// notes that the member knows the current generation; it is called again when a
// waiting poll learns of a new one. RenewLease follows when the poll ends.
func (g *State) Polled(now int64, id protocol.ConsumerID, waitMs int64) {
	if gm := g.now.member(id); gm != nil {
		g.leases.Set(id, now+waitMs+gm.SessionMs)
		g.told.Set(id, g.now.Generation)
		g.aliveAt = max(g.aliveAt, now)
	}
}

// RenewLease gives a member its full lease from now on, at the end of a poll.
func (g *State) RenewLease(now int64, id protocol.ConsumerID) {
	if gm := g.now.member(id); gm != nil {
		g.leases.Set(id, now+gm.SessionMs)
		g.aliveAt = max(g.aliveAt, now)
	}
}

// absenceMs is how long a member whose client has ended its connection keeps its lease,
// in milliseconds: long enough for one that connects again at once.
const absenceMs = 2000

// ShortenLease lets a member's lease run out soon, because its client has ended the
// connection on which it polled or had a stream.
func (g *State) ShortenLease(now int64, id protocol.ConsumerID) {
	if g.IsMember(id) {
		g.leases.Set(id, min(now+absenceMs, g.leases.At(id)))
	}
}

// ExtendLease renews the lease after a commit. Unlike RenewLease it never makes it
// shorter: a poll of the same member may be waiting.
func (g *State) ExtendLease(now int64, id protocol.ConsumerID) {
	at := g.leases.At(id)
	g.RenewLease(now, id)
	if g.IsMember(id) {
		g.leases.Set(id, max(at, g.leases.At(id)))
	}
}

// HeartbeatDecision is what a heartbeat leads to.
type HeartbeatDecision struct {
	Generation protocol.Generation
	LeaseMs    int64                     // how long the lease lasts after ExtendLease
	Assignment []protocol.TopicPartition // what the member owns, never nil
	Records    []metarecord.Record       // to be committed first; none unless the session changes
}

// DecideHeartbeat renews the lease of a member that works on records and does not
// poll meanwhile; a lapsed one that nobody has replaced counts. With sessionMs above
// 0 its lease lasts that long from now on, until a poll says otherwise. When the
// records are applied, call ExtendLease. Errors: unknown_member, stale_generation
// (generation is not nil, and not the current one).
func (g *State) DecideHeartbeat(now int64, id protocol.ConsumerID, generation *protocol.Generation, sessionMs int64) (HeartbeatDecision, *protocol.Error) {
	gm := g.now.member(id)
	if gm == nil {
		return HeartbeatDecision{}, protocol.Errorf(protocol.CodeUnknownMember,
			"consumer %d is not a member of group %q: poll to join it", id, g.name)
	}
	if generation != nil {
		if err := g.checkGeneration(*generation); err != nil {
			return HeartbeatDecision{}, err
		}
	}
	d := HeartbeatDecision{Generation: g.now.Generation, Assignment: []protocol.TopicPartition{}}
	if sessionMs <= 0 {
		sessionMs = gm.SessionMs
	}
	if sessionMs != gm.SessionMs || gm.LapsedAt != 0 {
		next := g.now.clone()
		next.member(id).SessionMs, next.member(id).LapsedAt = sessionMs, 0
		d.Records = g.memberRecords(now, actionUpdateMember, next)
	}
	d.LeaseMs = max(g.leases.At(id)-now, sessionMs)
	for _, a := range g.assigned(g.now, id) {
		d.Assignment = append(d.Assignment, protocol.TopicPartition{Topic: a.Topic, Partition: a.Partition})
	}
	return d, nil
}

// ResumeLeases gives all members their full lease from now on, but for those whose
// lease had run out. A coordinator that begins does so, because it knows nothing of
// earlier polls. That its members know the generation it has to believe as well.
func (g *State) ResumeLeases(now int64) {
	for i := range g.now.Members {
		gm := &g.now.Members[i]
		g.told.Set(gm.ID, g.now.Generation)
		g.leases.Set(gm.ID, now+gm.SessionMs) // aliveAt stays: it is not a sign of life
		if gm.LapsedAt != 0 {
			g.leases.Set(gm.ID, min(gm.LapsedAt, now))
		}
	}
}

// live reports whether a member's lease still runs.
func (g *State) live(now int64, id protocol.ConsumerID) bool {
	return now < g.leases.At(id)
}

// NextExpiry is when Expire should be called next, in milliseconds since 1970: the
// earliest end of a lease that still runs. Leases that have run out do not count;
// 0 if no lease runs.
func (g *State) NextExpiry(now int64) int64 {
	next := int64(0)
	for i := range g.now.Members {
		if at := g.leases.At(g.now.Members[i].ID); at > now && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// Expire decides on a new generation without the lapsed members that others can
// replace, and notes who else has lapsed; no records if there are none.
func (g *State) Expire(now int64) []metarecord.Record {
	next, action := g.now, actionUpdateMember
	if len(g.replaceable(now, g.now, 0)) > 0 {
		next, action = g.nextGeneration(now, g.now, 0), actionExpire
	}
	marked := next
	for i := range next.Members {
		gm := &next.Members[i]
		if gm.LapsedAt != 0 || g.live(now, gm.ID) {
			continue
		}
		if marked == next {
			marked = next.clone()
		}
		marked.Members[i].LapsedAt = g.leases.At(gm.ID)
	}
	if marked == g.now {
		return nil
	}
	return g.memberRecords(now, action, marked)
}

// Revived are the records of a member that commits although its lease had run out: it
// is alive.
func (g *State) Revived(now int64, id protocol.ConsumerID) []metarecord.Record {
	gm := g.now.member(id)
	if gm == nil || gm.LapsedAt == 0 {
		return nil
	}
	next := g.now.clone()
	next.member(id).LapsedAt = 0
	return g.memberRecords(now, actionUpdateMember, next)
}

// replaceable lists the members of m that are to be expired: their lease has run
// out, and a live member subscribes to a topic of which they own partitions, or they
// own none and any member is live. Arriving counts as live; 0 is nobody. So the
// only member of a group keeps its partitions, with a lease or without.
func (g *State) replaceable(now int64, m *membership, arriving protocol.ConsumerID) []protocol.ConsumerID {
	if !slices.ContainsFunc(m.Members, func(gm Member) bool { return gm.ID != arriving && !g.live(now, gm.ID) }) {
		return nil
	}
	var lapsed []protocol.ConsumerID
	wanted := map[string]bool{}
	anyLive := false
	for i := range m.Members {
		gm := &m.Members[i]
		if gm.ID != arriving && !g.live(now, gm.ID) {
			lapsed = append(lapsed, gm.ID)
			continue
		}
		anyLive = true
		for _, t := range gm.Topics {
			wanted[t] = true
		}
	}
	if !anyLive || len(lapsed) == 0 {
		return nil
	}
	owns, contested := map[protocol.ConsumerID]bool{}, map[protocol.ConsumerID]bool{}
	for i := range m.Topics {
		for _, owner := range m.Topics[i].Owners {
			owns[owner] = true
			if wanted[m.Topics[i].ID] {
				contested[owner] = true
			}
		}
	}
	return slices.DeleteFunc(lapsed, func(id protocol.ConsumerID) bool { return owns[id] && !contested[id] })
}

package classic

import "slices"

// Sync asks for an assignment; answer is called once the leader has brought it.
func (g *Group) Sync(now int64, req *SyncRequest, answer func(SyncReply)) {
	m, code := g.find(req.Member, req.Instance)
	switch {
	case code != None:
	case req.Generation != g.generation:
		code = IllegalGeneration
	case req.ProtocolType != "" && req.ProtocolType != g.protocolType, req.Protocol != "" && req.Protocol != g.protocol:
		code = InconsistentGroupProtocol
	case g.state == PreparingRebalance:
		code = RebalanceInProgress
	case g.state == Empty:
		code = UnknownMemberID
	}
	if code != None {
		answer(SyncReply{Code: code})
		return
	}
	m.alive(now)
	// It may ask as often as it likes; the assignment is the same for the generation.
	if g.state == Stable {
		answer(g.syncReply(m))
		return
	}
	// A client that asks again has given its first request up. That one is answered all the
	// same: whoever carries it would wait for ever.
	if m.sync != nil {
		m.sync(SyncReply{Code: RebalanceInProgress})
	}
	m.sync = answer
	// It waits, for as long as a rebalance may take (deadline).
	if m.id != g.leader {
		return
	}
	g.state, g.deadline = Stable, 0
	// Also members that have not asked yet get theirs now: they find it when they ask. Whom
	// the leader has left out has an empty one.
	for _, other := range g.members {
		other.assignment = req.Assignments[other.id]
		if other.sync != nil {
			other.alive(now)
			other.sync(g.syncReply(other))
			other.sync = nil
		}
	}
}

func (g *Group) syncReply(m *member) SyncReply {
	return SyncReply{ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// prepare begins a rebalance: all members have to join, which they hear of with their
// next heartbeat. A group that was empty waits a moment for others.
func (g *Group) prepare(now int64) {
	for _, m := range g.members {
		if m.sync != nil {
			m.alive(now)
			m.sync(SyncReply{Code: RebalanceInProgress})
			m.sync = nil
		}
	}
	// The slowest of them says how long the others wait: none is left out that keeps to its
	// own word.
	wait := int64(0)
	for _, m := range g.members {
		wait = max(wait, m.rebalance)
	}
	g.delayed = g.state == Empty
	if g.delayed {
		wait = min(wait, initialDelay)
	}
	g.state, g.deadline = PreparingRebalance, now+wait
	g.goOn(now)
}

// goOn completes the join phase if all members have joined.
func (g *Group) goOn(now int64) {
	if g.state != PreparingRebalance || g.delayed && now < g.deadline {
		return
	}
	for _, m := range g.members {
		if m.join == nil {
			return
		}
	}
	g.complete(now)
}

// complete begins the next generation with those who have joined.
func (g *Group) complete(now int64) {
	g.delayed = false
	// Static members keep their place until their session ends: that is what they are for,
	// a restart without a rebalance.
	for _, m := range g.sorted() {
		if m.join == nil && m.instance == "" {
			g.remove(m)
		}
	}
	// Before anybody is told: what comes with the number before is refused from here on.
	g.generation++
	if !slices.ContainsFunc(g.sorted(), func(m *member) bool { return m.join != nil }) {
		// Static members that are away keep their place, but nobody assigns.
		g.state, g.deadline, g.protocol, g.leader = Empty, 0, "", ""
		if len(g.members) > 0 {
			g.state, g.deadline = PreparingRebalance, now+g.members[g.sorted()[0].id].rebalance
		}
		return
	}
	g.protocol = g.choose()
	// Who has led leads again if he has joined: an assignor that keeps assignments knows the
	// last one only there.
	if leader := g.members[g.leader]; leader == nil || leader.join == nil {
		for _, m := range g.sorted() {
			if m.join != nil {
				g.leader = m.id
				break
			}
		}
	}
	// The leader has as long to bring the assignment as the members had to join.
	g.state, g.deadline = CompletingRebalance, now
	for _, m := range g.members {
		g.deadline = max(g.deadline, now+m.rebalance)
	}
	for _, m := range g.sorted() {
		if m.join != nil {
			m.alive(now)
			m.join(g.joinReply(m))
			m.join = nil
		}
	}
}

// choose is the protocol that all know and most prefer; with as many votes the one that
// has been there longer.
func (g *Group) choose() string {
	members := g.sorted()
	known := map[string]int{}
	for _, m := range members {
		for i, p := range m.protocols {
			if !slices.ContainsFunc(m.protocols[:i], func(q Protocol) bool { return q.Name == p.Name }) {
				known[p.Name]++
			}
		}
	}
	votes := map[string]int{}
	best := ""
	for _, m := range members {
		for _, p := range m.protocols {
			if known[p.Name] < len(members) {
				continue
			}
			votes[p.Name]++
			if best == "" || votes[p.Name] > votes[best] {
				best = p.Name
			}
			break
		}
	}
	return best
}

// NextDeadline is when Expire has something to do, in milliseconds; 0 if never.
func (g *Group) NextDeadline() int64 {
	next := g.deadline
	note := func(at int64) {
		if at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	for _, m := range g.members {
		if m.join == nil && m.sync == nil {
			note(m.expires)
		}
	}
	for _, at := range g.pending {
		note(at)
	}
	return next
}

// Expire does what is due: members that gave no sign of life leave, and a rebalance goes
// on without who is missing.
func (g *Group) Expire(now int64) {
	for id, at := range g.pending {
		if at <= now {
			delete(g.pending, id)
		}
	}
	gone := false
	// Who waits for an answer to a join or a sync cannot give a sign of life meanwhile, and
	// is never late because others are.
	for _, m := range g.sorted() {
		if m.join == nil && m.sync == nil && m.expires <= now {
			g.remove(m)
			gone = true
		}
	}
	if gone {
		g.membersChanged(now)
	}
	if g.deadline == 0 || now < g.deadline {
		return
	}
	switch g.state {
	case PreparingRebalance:
		if g.delayed {
			g.delayed = false
			g.deadline = now
			for _, m := range g.members {
				g.deadline = max(g.deadline, now+m.rebalance)
			}
			g.goOn(now)
			return
		}
		g.complete(now)
	case CompletingRebalance: // those who have not asked for their assignment are gone
		for _, m := range g.sorted() {
			if m.sync == nil {
				g.remove(m)
			}
		}
		g.prepare(now)
	}
}

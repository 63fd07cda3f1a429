package classic

import "slices"

// Join asks to be a member; answer is called once everybody has joined, or at once
// where that is not needed or not allowed.
func (g *Group) Join(now int64, req *JoinRequest, answer func(JoinReply)) {
	// What is refused leaves the group as it was.
	refuse := func(code int16, id string) {
		answer(JoinReply{Code: code, Generation: noGeneration, Member: id})
	}
	size := sizeOf(req)
	switch {
	case req.SessionMs < minSession || req.SessionMs > maxSession:
		refuse(InvalidSessionTimeout, req.Member)
	case len(req.Protocols) == 0 || len(req.Protocols) > maxProtocols || req.ProtocolType == "" || size > maxMetadataBytes || !g.agrees(req):
		refuse(InconsistentGroupProtocol, req.Member)
	case g.bytes+size > maxGroupBytes && (g.members[req.Member] == nil || size > g.members[req.Member].bytes):
		refuse(GroupMaxSizeReached, req.Member)
	case req.Member == "" && len(g.members) >= maxMembers && g.instances[req.Instance] == "":
		refuse(GroupMaxSizeReached, "")
	case req.Member == "" && req.Instance != "" && g.instances[req.Instance] != "":
		g.replace(now, req, answer)
	// A client that asks without an id and hears nothing asks again, without one. It gets an
	// id first, to come with: else each try would leave a member behind that never answers.
	case req.Member == "" && req.NeedsID:
		if len(g.pending) >= maxPending {
			refuse(GroupMaxSizeReached, "")
			return
		}
		g.pending[req.NewID] = now + req.SessionMs
		refuse(MemberIDRequired, req.NewID)
	case req.Member == "":
		g.add(now, req.NewID, req, answer)
	case g.pending[req.Member] != 0 && req.Instance == "":
		delete(g.pending, req.Member)
		g.add(now, req.Member, req, answer)
	default:
		m, code := g.find(req.Member, req.Instance)
		if code != None {
			refuse(code, req.Member)
			return
		}
		g.again(now, m, req, answer)
	}
}

// sizeOf is how many bytes the group keeps of a member.
func sizeOf(req *JoinRequest) int {
	n := len(req.Instance) + len(req.ClientID) + len(req.ProtocolType)
	for i := range req.Protocols {
		n += len(req.Protocols[i].Name) + len(req.Protocols[i].Metadata)
	}
	return n
}

// agrees reports whether all members, but the one that asks, know one of its protocols.
func (g *Group) agrees(req *JoinRequest) bool {
	if len(g.members) == 0 {
		return true
	}
	if req.ProtocolType != g.protocolType {
		return false
	}
	own := req.Member
	if own == "" && req.Instance != "" {
		own = g.instances[req.Instance]
	}
	return slices.ContainsFunc(req.Protocols, func(p Protocol) bool {
		for _, m := range g.members {
			if m.id != own && !m.knows(p.Name) {
				return false
			}
		}
		return true
	})
}

func (m *member) knows(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol })
}

// set takes over what a request says of its sender.
func (g *Group) set(now int64, m *member, req *JoinRequest) {
	g.bytes -= m.bytes
	m.bytes = sizeOf(req)
	g.bytes += m.bytes
	m.clientID, m.host, m.sessionMs, m.protocols = req.ClientID, req.Host, req.SessionMs, req.Protocols
	if m.rebalance = req.RebalanceMs; m.rebalance <= 0 {
		m.rebalance = req.SessionMs // versions that do not say it
	}
	m.alive(now)
}

// wait has a member wait for the others, in place of an earlier request of its own. The
// client has given that one up, but whoever carries it still waits.
func (m *member) wait(answer func(JoinReply)) {
	if m.join != nil {
		m.join(JoinReply{Code: RebalanceInProgress, Generation: noGeneration, Member: m.id})
	}
	m.join = answer
}

// add makes a new member, and has all others join again.
func (g *Group) add(now int64, id string, req *JoinRequest, answer func(JoinReply)) {
	g.joined++
	m := &member{id: id, instance: req.Instance, order: g.joined}
	g.set(now, m, req)
	g.members[id] = m
	if m.instance != "" {
		g.instances[m.instance] = id
	}
	if len(g.members) == 1 {
		g.protocolType = req.ProtocolType
	}
	// Before goOn, which looks at who has joined.
	m.wait(answer)
	if g.state != PreparingRebalance {
		g.prepare(now)
		return
	}
	g.goOn(now)
}

// again lets a member join again. One that has asked before, and has not heard of the
// answer, gets it again; whoever changes something has all others join.
func (g *Group) again(now int64, m *member, req *JoinRequest, answer func(JoinReply)) {
	same := sameProtocols(m.protocols, req.Protocols)
	g.set(now, m, req)
	switch {
	case g.state == PreparingRebalance:
		m.wait(answer)
		g.goOn(now)
	case same && (g.state == CompletingRebalance || g.state == Stable && m.id != g.leader):
		answer(g.joinReply(m))
	default:
		m.wait(answer)
		g.prepare(now)
	}
}

func sameProtocols(a, b []Protocol) bool {
	return slices.EqualFunc(a, b, func(a, b Protocol) bool { return a.Name == b.Name && string(a.Metadata) == string(b.Metadata) })
}

// replace lets a static member come back under a new id. The others go on as they are,
// if it says of itself what it said before.
func (g *Group) replace(now int64, req *JoinRequest, answer func(JoinReply)) {
	old := g.members[g.instances[req.Instance]]
	m := &member{id: req.NewID, instance: old.instance, assignment: old.assignment, order: old.order}
	same := sameProtocols(old.protocols, req.Protocols)
	g.set(now, m, req)
	// The process that had the place may still run. It is told, and every later request of
	// it is refused (find): two would otherwise work on the same partitions.
	old.refuse(FencedInstanceID)
	delete(g.members, old.id)
	g.bytes -= old.bytes
	g.members[m.id], g.instances[m.instance] = m, m.id
	leads := g.leader == old.id
	if leads {
		g.leader = m.id
	}
	if g.state != Stable || !same {
		m.wait(answer)
		if g.state != PreparingRebalance {
			g.prepare(now)
			return
		}
		g.goOn(now)
		return
	}
	reply := g.joinReply(m)
	if leads {
		if req.MayJoinAgain {
			reply.Skip = true
		} else {
			reply.Leader, reply.Members = old.id, nil // so that it does not assign anew
		}
	}
	answer(reply)
}

// joinReply is what a member is told of the generation.
func (g *Group) joinReply(m *member) JoinReply {
	r := JoinReply{
		Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader, Member: m.id,
	}
	if m.id == g.leader {
		for _, other := range g.sorted() {
			r.Members = append(r.Members, JoinedMember{ID: other.id, Instance: other.instance, Metadata: other.metadata(g.protocol)})
		}
	}
	return r
}

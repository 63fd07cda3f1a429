package peers

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/compaction"
	"ottla/actors/election"
	"ottla/actors/wire"
	"ottla/link"
)

// raft hands a raft message to the replica that it is for. Of what does not come
// from replicas of the group, but from their owner, nothing is taken.
func (p *Peers) raft(body []byte) error {
	g, replica, rest, err := p.addressed(body)
	if g == nil || err != nil {
		return err
	}
	m, err := decodeRaft(rest)
	if err != nil {
		return err
	}
	// Raft takes local messages by the same call, and would believe them: a proposal, or
	// that a peer is unreachable.
	if !fromReplicas[m.Type] || m.To != replica {
		return fmt.Errorf("raft message %s to replica %d", m.Type, m.To)
	}
	g.tenure.gets(&m)
	if pid := g.local(replica); pid != nil {
		p.root.Send(pid, &Raft{Message: m, far: true})
	}
	return nil
}

// fromReplicas are the kinds of messages that replicas send each other.
var fromReplicas = map[raftpb.MessageType]bool{
	raftpb.MsgApp: true, raftpb.MsgAppResp: true, raftpb.MsgVote: true, raftpb.MsgVoteResp: true, raftpb.MsgPreVote: true, raftpb.MsgPreVoteResp: true,
	raftpb.MsgHeartbeat: true, raftpb.MsgHeartbeatResp: true, raftpb.MsgSnap: true, raftpb.MsgTimeoutNow: true,
	raftpb.MsgReadIndex: true, raftpb.MsgReadIndexResp: true,
}

// addressed takes the address off a message to a replica. The group is nil where
// this node has none of it.
func (p *Peers) addressed(body []byte) (g *Group, replica uint64, rest []byte, err error) {
	at, rest, err := wire.TakePartition(body)
	if err != nil {
		return nil, 0, nil, err
	}
	replica, n := binary.Uvarint(rest)
	if n <= 0 {
		return nil, 0, nil, errors.New("the replica is missing")
	}
	if c := p.cluster(at.Cluster); c != nil {
		g = c.links.Find(at.PartitionID)
	}
	return g, replica, rest[n:], nil
}

// sendRaft sends a raft message to a replica at another node; false if it is lost
// already. What is old goes aside, so that nothing waits for it.
func (p *Peers) sendRaft(to link.NodeID, g *Group, m *raftpb.Message, old bool) bool {
	parts, err := encodeRaft(m)
	if err != nil {
		p.log.Error("BUG: a raft message does not encode", "error", err)
		return false
	}
	lane := g.lane(m.Type)
	if old {
		lane = link.CatchUp
	}
	return p.link.Send(to, lane, wire.Raft, append([][]byte{g.address(m.To)}, parts...)...)
}

// lane is the one for messages of a type. Entries of clients go their own way, so that
// votes do not wait for them. All appends of a group go the same way, the empty ones
// too: a follower refuses one that overtakes another, and its leader then sends again
// all that it has not acknowledged.
func (g *Group) lane(t raftpb.MessageType) link.Lane {
	if (t == raftpb.MsgApp || t == raftpb.MsgSnap) && !g.urgent.Load() {
		return link.Bulk
	}
	return link.Control
}

// replicaMessage is any message to a replica that is not raft's; one field is set.
type replicaMessage struct {
	FallQuiet  *election.FallQuiet    `json:"q,omitempty"`
	Leaderless *election.Leaderless   `json:"l,omitempty"`
	PartsAsked *compaction.PartsAsked `json:"a,omitempty"`
	PartsChunk *compaction.PartsChunk `json:"c,omitempty"`
}

func (p *Peers) tellReplica(to link.NodeID, g *Group, replica uint64, message any) {
	var m replicaMessage
	lane := link.Control
	switch message := message.(type) {
	case *election.FallQuiet:
		m.FallQuiet = message
	case *election.Leaderless:
		m.Leaderless = message
	case *compaction.PartsAsked:
		m.PartsAsked = message
	case *compaction.PartsChunk:
		m.PartsChunk, lane = message, link.CatchUp
	default:
		p.log.Error("BUG: this message cannot be sent to another node", "type", fmt.Sprintf("%T", message))
		return
	}
	p.link.Send(to, lane, wire.Replica, g.address(replica), wire.Encode(&m))
}

func (p *Peers) toReplica(body []byte) error {
	g, replica, rest, err := p.addressed(body)
	if g == nil || err != nil {
		return err
	}
	var m replicaMessage
	if err := wire.Decode(rest, &m); err != nil {
		return err
	}
	pid := g.local(replica)
	if pid == nil {
		return nil
	}
	switch {
	case m.FallQuiet != nil:
		p.root.Send(pid, m.FallQuiet)
	case m.Leaderless != nil:
		p.root.Send(pid, m.Leaderless)
	case m.PartsAsked != nil:
		p.root.Send(pid, m.PartsAsked)
	case m.PartsChunk != nil:
		p.root.Send(pid, m.PartsChunk)
	}
	return nil
}

package queue

import (
	"maps"
	"slices"
	"time"

	"ottla/protocol"
)

// Position is where the queue is on a partition of a topic.
type Position struct {
	Topic  string
	ID     protocol.PartitionID
	Offset protocol.Offset
}

// Positions are the positions on all partitions that the queue has begun on.
func (s *State) Positions() []Position {
	var all []Position
	for _, p := range s.list() {
		if t := s.cfg.topic(p.id.TopicID); t != nil && p.began {
			all = append(all, Position{t.Name, p.id, protocol.Offset(p.position)})
		}
	}
	return all
}

// Describe describes a queue that exists.
func (s *State) Describe(now int64) *protocol.QueueInfo {
	cfg := s.cfg
	info := &protocol.QueueInfo{
		Topics: []string{}, AckWaitMs: cfg.AckWaitMs, MaxDeliveries: cfg.MaxDeliveries, BackoffMs: append([]int64{}, cfg.BackoffMs...),
		Order: cfg.Order, MaxInFlight: cfg.MaxInFlight, Partitions: []protocol.QueuePartition{},
	}
	for _, t := range cfg.Topics {
		info.Topics = append(info.Topics, t.Name)
	}
	switch {
	case cfg.DeadLetters != "":
		info.DeadLetterTopic = &cfg.DeadLetters
	case len(cfg.Topics) == 1:
		dead := cfg.DeadLettersOf(cfg.Topics[0].Name)
		info.DeadLetterTopic = &dead
	}
	for _, p := range s.list() {
		if t := cfg.topic(p.id.TopicID); t != nil && p.began {
			info.Partitions = append(info.Partitions, p.describe(now, t.Name))
		}
	}
	return info
}

// describe counts from the tree, not from the log: what is open is all from the position to
// the end, less what a bit says is ended. Bits of a node stand for as many records as the
// node's level says, of which some may lie below the position.
func (p *partition) describe(now int64, topic string) protocol.QueuePartition {
	open, died := p.end-p.position, 0
	for id, n := range p.nodes {
		for child := range int64(chunkSize) {
			width := int64(1) << (chunkBits * id.level)
			begin := (id.index<<chunkBits + child) * width
			if n.ended>>child&1 == 1 {
				open -= max(0, begin+width-max(begin, p.position))
			}
		}
		for i := range n.entries {
			if n.entries[i].kind == dying {
				died++
			}
		}
	}
	delayed := p.waiting + p.delayed
	q := protocol.QueuePartition{
		Topic: topic, Partition: p.id.Partition, End: protocol.Offset(p.end), Position: protocol.Offset(p.position),
		InFlight: p.given, Delayed: delayed, Dead: p.dead, Removed: p.lost,
		Ready: max(0, open-int64(p.given+delayed+died)),
	}
	if len(p.readable) > 0 {
		age := max(0, now-p.readable[0].since)
		q.OldestReadyMs = &age
	}
	return q
}

// Workers are those that have asked lately, ascending.
func (s *State) Workers(now int64) []protocol.MemberInfo {
	list := []protocol.MemberInfo{}
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		if w := s.workers[id]; w.until > now {
			list = append(list, protocol.MemberInfo{
				ConsumerID: id, Assignment: []protocol.TopicPartition{}, LeaseExpiresAt: time.UnixMilli(w.until).UTC(), SessionTimeoutMs: w.sessionMs,
			})
		}
	}
	return list
}

// Idle reports whether nobody works on the queue.
func (s *State) Idle(now int64) bool {
	for _, w := range s.workers {
		if w.until > now {
			return false
		}
	}
	return s.tracked == 0
}

package front

import (
	"slices"
	"sync"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// placeBook remembers where consumers that were answered here go on: the share that they had,
// and the offsets that were committed on it. So a poll can read first, and ask its group
// once, instead of asking what to read and then telling what was read. A place is a guess
// and never more: the group takes what was read only if it would have said the same. Who is
// not remembered, or wrongly, asks as if there were none.
type placeBook struct{ shards [placeShards]placeShard }

const (
	placeShards = 16
	// placePositions bounds the positions that are remembered, in each shard; about 100 bytes
	// for each of them.
	placePositions = 2048
	// sharePositions bounds those of one consumer: with more partitions than that a poll is
	// about reading.
	sharePositions = 16
)

// placeShard is a part of the book with a lock of its own, so that polls of different
// consumers do not wait for each other.
type placeShard struct {
	mu        sync.Mutex
	all       map[placeKey]*place
	positions int
}

// placeKey names a consumer. The group is part of it, because one consumer may be in
// several, with other offsets in each.
type placeKey struct {
	cluster, group string
	consumer       protocol.ConsumerID
}

// place is where a consumer goes on.
type place struct {
	generation protocol.Generation
	at         []group.PartitionOffset // by topic id and partition
	sure       bool                    // the last poll went on there
}

func (s *placeBook) shard(key placeKey) *placeShard {
	return &s.shards[uint64(key.consumer)%placeShards]
}

// get appends the positions of a consumer to dst.
func (s *placeBook) get(dst []group.PartitionOffset, key placeKey) (at []group.PartitionOffset, generation protocol.Generation, sure bool) {
	shard := s.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	p := shard.all[key]
	if p == nil {
		return dst, 0, false
	}
	return append(dst, p.at...), p.generation, p.sure
}

// put remembers a consumer, in place of any other where there is no room.
func (s *placeBook) put(key placeKey, generation protocol.Generation, at []group.PartitionOffset, sure bool) {
	shard := s.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	p := shard.all[key]
	// Also the one of before goes, as it is not where the consumer goes on.
	if len(at) == 0 || len(at) > sharePositions {
		shard.drop(key)
		return
	}
	if p == nil {
		if shard.all == nil {
			shard.all = map[placeKey]*place{}
		}
		p = &place{}
		shard.all[key] = p
	}
	shard.positions += len(at) - len(p.at)
	p.generation, p.at, p.sure = generation, append(p.at[:0], at...), sure
	// Whichever comes first: a place that is forgotten costs one question more.
	for other := range shard.all {
		if shard.positions <= placePositions {
			break
		}
		if other != key {
			shard.drop(other)
		}
	}
}

func (s *placeShard) drop(key placeKey) {
	if p := s.all[key]; p != nil {
		s.positions -= len(p.at)
		delete(s.all, key)
	}
}

// committed moves a consumer to what it has committed itself.
func (s *placeBook) committed(key placeKey, offsets []group.PartitionOffset) {
	shard := s.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	p := shard.all[key]
	if p == nil {
		return
	}
	for i := range p.at {
		for _, o := range offsets {
			if o.TopicID == p.at[i].TopicID && o.Partition == p.at[i].Partition {
				p.at[i].Offset = o.Offset
			}
		}
	}
}

// pollAhead is what a poll knows of its consumer before it has asked.
type pollAhead struct {
	expects    []group.PartitionOffset // where it goes on; nil: not known
	generation protocol.Generation
	question   *routing.GroupAhead // what it has read; nil: nothing
	surprised  bool                // the consumer did not go on where it was expected to
}

// placeKey is under which name the poll's consumer is remembered.
func (p *poll) placeKey() placeKey {
	return placeKey{p.cluster.Name, p.req.Group, p.req.ConsumerID}
}

// onAhead reads from where the consumer goes on if nothing has changed since it was
// answered here. If there is nothing to read, the group is asked for the share.
func (p *poll) onAhead() pollState {
	if !p.expect() {
		return stateShare
	}
	p.share.at = append(p.share.at[:0], p.ahead.expects...)
	p.look.begin(p.share.at)
	_, err := p.readAll(0)
	if err == nil {
		err = keepRoom(p.req.Room, p.look.got.bytes)
	}
	// Anything out of the ordinary is left to the long way, which knows how to tell the
	// client.
	if err != nil || p.look.got.count == 0 || len(p.look.gaps) > 0 {
		p.forgetAhead()
		return stateShare
	}
	a := &routing.GroupAhead{Token: drawName()}
	a.Generation, a.Commit, a.Positions = p.ahead.generation, p.req.AutoCommit, slices.Clone(p.share.at)
	// By this the group sees whether the offsets are still those that the guess was made
	// on.
	a.From = p.began()
	p.ahead.question = a
	return stateShare
}

// expect finds out where the consumer goes on, and reports whether that is sure enough
// to read there.
func (p *poll) expect() (sure bool) {
	a := &p.ahead
	if a.expects, a.generation, sure = p.polls.places.get(nil, p.placeKey()); a.expects == nil {
		return false
	}
	for i := range a.expects {
		if p.topics.At(a.expects[i].TopicID) == nil {
			a.expects = nil
			return false
		}
	}
	token := p.req.Ack
	if token == "" {
		token = p.req.After
	}
	if token == "" {
		return sure
	}
	// The cursor is checked by the group. Here it only says where the client goes on; a bad
	// one means that nothing is guessed.
	c, err := group.DecodeCursor(token, p.seal())
	if err != nil || c.Unsealed || c.Generation != a.generation || c.ConsumerID != p.req.ConsumerID || c.Group != p.req.Group {
		return false
	}
	for i := range a.expects {
		at := &a.expects[i]
		for _, pos := range c.Positions {
			if pos.TopicID == at.TopicID && pos.Partition == at.Partition {
				at.Offset = pos.Offset
			}
		}
	}
	return sure
}

// readInVain forgets what was read ahead: the group has answered with a share.
func (p *poll) readInVain() {
	if p.ahead.question != nil {
		p.ahead.question = nil
		p.forgetAhead()
	}
}

// forgetAhead gives back what was read ahead, with its memory: the poll begins as if it had
// not.
func (p *poll) forgetAhead() {
	p.look.got.forget()
	_ = keepRoom(p.req.Room, 0) // giving back does not fail
}

// compare notes whether the consumer goes on where it was expected to: only then is the
// next poll worth reading ahead.
func (p *poll) compare() {
	if p.ahead.expects == nil {
		return
	}
	p.ahead.surprised = !slices.EqualFunc(p.ahead.expects, p.share.at, func(a, b group.PartitionOffset) bool {
		return a.Key() == b.Key() && a.Offset == b.Offset
	})
	p.ahead.expects = nil
}

// rememberPlace notes where the consumer goes on after an answer: where that is committed,
// at what it was given, else where it began.
func (p *poll) rememberPlace() {
	at := p.look.from
	if p.req.AutoCommit {
		at = p.share.at
	}
	p.polls.places.put(p.placeKey(), p.share.Generation, at, !p.ahead.surprised)
}

package group

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// failover is a group whose coordinators fail again and again: before a commit is in the log,
// between the commit and its answer, and in between. Its members poll through three nodes, each
// of which remembers what it answered last, however long ago that was. Whoever got no answer
// may ask again, at once or late, or give up. The clients know what they were given.
type failover struct {
	*groupHarness
	rnd     *rand.Rand
	names   uint64
	nodes   [3]map[protocol.ConsumerID]*Ahead // where consumers go on
	open    []*delivery
	by      map[protocol.PartitionID]uint64                     // the delivery that has made the newest commit
	given   map[protocol.PartitionID]map[protocol.Offset]uint64 // the delivery that has brought a record to a client
	numbers uint64                                              // of polls
	newest  map[protocol.ConsumerID]*delivery                   // at this coordinator

	answered, again, refused int
}

// delivery is one that its poll has no answer to yet.
type delivery struct {
	*Ahead
	id     protocol.ConsumerID
	node   int
	name   uint64
	asked  bool // the group was given its share, and read after that
	logged bool
	number uint64
}

// Every record is given to one delivery. One whose commit is in the log, and the answer to
// which was lost, is answered when it asks again, by whichever coordinator.
func TestFailoverBetweenACommitAndItsAnswer(t *testing.T) {
	seeds := uint64(fewer(3000))
	again := 0
	for seed := range seeds {
		s := runFailover(t, seed, level.Newest)
		require.False(t, t.Failed(), "seed %d", seed)
		again += s.again
	}
	require.Greater(t, again, int(seeds)/4, "the storms were too mild to show anything")
}

// Before commits name their polls what is in doubt is lost, and never given twice.
func TestFailoverBelowTheLevelOfNames(t *testing.T) {
	for seed := range uint64(fewer(500)) {
		runFailover(t, seed, level.PollNames.Level-1)
		require.False(t, t.Failed(), "seed %d", seed)
	}
}

func runFailover(t *testing.T, seed uint64, at int) *failover {
	s := &failover{
		groupHarness: newGroupHarness(t), rnd: rand.New(rand.NewPCG(seed, 11)), by: map[protocol.PartitionID]uint64{},
		given: map[protocol.PartitionID]map[protocol.Offset]uint64{}, newest: map[protocol.ConsumerID]*delivery{},
	}
	for i := range s.nodes {
		s.nodes[i] = map[protocol.ConsumerID]*Ahead{}
	}
	of := func() int { return at }
	s.g.Level = of
	for range 100 {
		s.step()
		s.g.Level = of // of a new coordinator too
	}
	return s
}

func (s *failover) step() {
	id := protocol.ConsumerID(1 + s.rnd.IntN(2))
	node := s.rnd.IntN(len(s.nodes))
	switch n := s.rnd.IntN(100); {
	case n < 35 && s.nodes[node][id] != nil:
		s.readAhead(id, node)
	case n < 55:
		s.askForShare(id, node)
	case n < 80 && len(s.open) > 0:
		s.ask(s.open[s.rnd.IntN(len(s.open))])
	case n < 83 && len(s.open) > 0:
		s.end(s.open[s.rnd.IntN(len(s.open))]) // its client has left
	case n < 88:
		s.fail()
	case n < 92:
		s.commits(id)
	case n < 94 && s.g.exists():
		recs, err := s.g.DecideSeek(s.now, []PartitionOffset{{Topic: "a", TopicID: "id-a", Partition: s.rnd.IntN(2), Offset: protocol.Offset(s.rnd.IntN(6))}}, false)
		require.Nil(s.t, err)
		s.does(recs, 0)
	case n < 96:
		recs, _ := s.g.DecideLeave(s.now, id)
		s.does(recs, 0)
	case n < 98:
		s.now += int64(s.rnd.IntN(8000))
		s.does(s.g.Expire(s.now), 0)
	}
}

// fail replaces the coordinator.
func (s *failover) fail() {
	s.failover()
	clear(s.newest)
}

// does has records of a delivery, or of nobody, in the log. Where an offset goes back, the
// records behind it are to be given again.
func (s *failover) does(recs []metarecord.Record, name uint64) {
	s.t.Helper()
	before := map[protocol.PartitionID]protocol.Offset{}
	for _, o := range s.g.CommittedList() {
		before[o.Key()] = o.Offset
	}
	s.do(recs)
	for _, o := range s.g.CommittedList() {
		key := o.Key()
		if at, known := before[key]; known && at == o.Offset {
			continue
		}
		s.by[key] = name
		for offset := range s.given[key] {
			if name == 0 && offset >= o.Offset {
				delete(s.given[key], offset)
			}
		}
	}
}

// commits commits where a client says, also backwards.
func (s *failover) commits(id protocol.ConsumerID) {
	at := PartitionOffset{Topic: "a", TopicID: "id-a", Partition: s.rnd.IntN(2)}
	have, _ := s.g.offsets.Get(at.Key())
	at.Offset = max(0, have.Offset+protocol.Offset(s.rnd.IntN(5)-2))
	recs, _ := s.g.DecideCommit(s.now, id, nil, []PartitionOffset{at}, true)
	s.does(recs, 0)
}

// readAhead is a poll that reads by what its node remembers, and asks then.
func (s *failover) readAhead(id protocol.ConsumerID, node int) {
	knows := s.nodes[node][id]
	a := &Ahead{Generation: knows.Generation, Commit: true}
	for _, o := range knows.Positions {
		a.From = append(a.From, o.Offset)
		o.Offset += protocol.Offset(s.rnd.IntN(3))
		a.Positions = append(a.Positions, o)
	}
	s.begin(&delivery{Ahead: a, id: id, node: node})
	s.ask(s.open[len(s.open)-1])
}

// askForShare is a poll that asks what to read, and delivers it at some time, as a stream
// does again and again.
func (s *failover) askForShare(id protocol.ConsumerID, node int) {
	var starts []PartitionOffset
	for _, a := range s.pollFor(id) {
		if a.Committed == nil {
			starts = append(starts, PartitionOffset{Topic: a.Topic, TopicID: a.TopicID, Partition: a.Partition})
		}
	}
	_, recs, err := s.g.DecideStart(s.now, id, s.g.Generation(), starts)
	require.Nil(s.t, err)
	s.does(recs, 0)
	d := &delivery{Ahead: s.aheadOf(id, protocol.Offset(s.rnd.IntN(3))), id: id, node: node, asked: true, number: s.numbers}
	s.newest[id] = d
	s.begin(d)
}

func (s *failover) pollFor(id protocol.ConsumerID) []AssignedPartition {
	s.numbers++
	return s.poll(id, "a:2")
}

func (s *failover) begin(d *delivery) {
	s.names++
	d.name = s.names
	s.open = append(s.open, d)
}

func (s *failover) end(d *delivery) {
	s.open = slices.DeleteFunc(s.open, func(o *delivery) bool { return o == d })
}

// ask asks the group to take a delivery, whether it was asked before or not.
func (s *failover) ask(d *delivery) {
	repeated := d.logged
	recs, ok := s.decide(d)
	if !ok {
		s.refused++
		s.end(d) // it asks for its share, and reads that
		return
	}
	if repeated {
		s.again++
	}
	switch n := s.rnd.IntN(10); {
	case n < 2:
		s.fail() // before it is in the log
		return
	case n < 5:
		s.does(recs, d.name)
		d.logged = d.logged || len(recs) > 0
		if n < 4 {
			s.fail()
		}
		return
	}
	s.does(recs, d.name)
	require.True(s.t, s.g.Delivered(d.id, d.Generation, d.Positions))
	s.answered++
	s.give(d)
	s.end(d)
}

func (s *failover) decide(d *delivery) (recs []metarecord.Record, ok bool) {
	mustTake := d.logged && s.g.namesPolls() && s.g.IsMember(d.id) && s.g.Generation() == d.Generation
	for i := range d.Positions {
		o := &d.Positions[i]
		have, _ := s.g.offsets.Get(o.Key())
		mustTake = mustTake && have.Offset == o.Offset && (d.From[i] == o.Offset || s.by[o.Key()] == d.name)
	}
	newest := s.newest[d.id]
	if d.asked {
		if newest != nil && newest.number > d.number {
			return nil, false // superseded
		}
		if !s.g.GoesOn(d.Positions, d.From, d.name, newest == d) {
			require.False(s.t, mustTake, "its commit is in the log, and it is refused")
			return nil, false
		}
		recs, err := s.g.DecideAutoCommit(s.now, d.id, d.Generation, d.Positions, d.name)
		require.False(s.t, mustTake && err != nil, "%v", err)
		return recs, err == nil && s.g.IsMember(d.id) && s.g.Generation() == d.Generation
	}
	p, err := s.g.DecidePoll(s.now, d.id, parseTopics(s.t, "a:2"), 10_000)
	require.Nil(s.t, err)
	s.does(p.Records, 0)
	recs, ok = s.g.Ahead(s.now, d.id, &p, d.Ahead, nil, d.name, newest == d)
	s.g.Polled(s.now, d.id, 0)
	s.numbers++
	d.number = s.numbers
	s.newest[d.id] = d
	require.False(s.t, mustTake && len(p.Records) == 0 && !ok, "its commit is in the log, and it is refused")
	return recs, ok
}

// give is what a client is given: each record once.
func (s *failover) give(d *delivery) {
	for i := range d.Positions {
		o := &d.Positions[i]
		given := s.given[o.Key()]
		if given == nil {
			given = map[protocol.Offset]uint64{}
			s.given[o.Key()] = given
		}
		for at := d.From[i]; at < o.Offset; at++ {
			require.Zero(s.t, given[at], "delivery %d brings record %d of partition %d again", d.name, at, o.Partition)
			given[at] = d.name
		}
	}
	s.nodes[d.node][d.id] = d.Ahead
}

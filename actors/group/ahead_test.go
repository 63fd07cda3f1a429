package group

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
	"ottla/protocol"
)

// aheadOf is what a member reads ahead who knows its share as it is now, n records of each
// partition.
func (h *groupHarness) aheadOf(id protocol.ConsumerID, n protocol.Offset) *Ahead {
	a := &Ahead{Generation: h.g.Generation(), Commit: true}
	for _, p := range h.g.assigned(h.g.now, id) {
		at := protocol.Offset(0)
		if p.Committed != nil {
			at = *p.Committed
		}
		a.From = append(a.From, at)
		a.Positions = append(a.Positions, PartitionOffset{Topic: p.Topic, TopicID: p.TopicID, Partition: p.Partition, Offset: at + n})
	}
	return a
}

// pollAhead polls with what was read ahead, and reports whether that is delivered. The poll
// is known by its name.
func (h *groupHarness) pollAhead(id protocol.ConsumerID, topics string, a *Ahead, after []CursorPosition, name uint64) bool {
	h.t.Helper()
	d, err := h.g.DecidePoll(h.now, id, parseTopics(h.t, topics), 10_000)
	require.Nil(h.t, err)
	h.do(d.Records)
	before := h.g.Dump()
	recs, ok := h.g.Ahead(h.now, id, &d, a, after, name, false)
	require.Equal(h.t, before, h.g.Dump(), "a decision changed the state")
	require.True(h.t, ok || len(recs) == 0)
	h.do(recs)
	h.g.Polled(h.now, id, 0)
	if ok {
		require.True(h.t, h.g.Delivered(id, a.Generation, a.Positions))
	}
	return ok
}

// commitBy commits as a delivery of consumer 1 that is known by its name.
func (h *groupHarness) commitBy(name uint64, offsets string) {
	h.t.Helper()
	recs, err := h.g.DecideAutoCommit(h.now, 1, h.g.Generation(), parseOffsets(h.t, offsets), name)
	require.Nil(h.t, err)
	h.do(recs)
}

// Below its level commits do not name their poll: older programs refuse the field.
func TestBelowItsLevelACommitNamesNobody(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(1, "a:2")
	at := level.PollNames.Level - 1
	h.g.Level = func() int { return at }
	h.commitBy(5, "a/0=13,a/1=23")
	for _, rec := range h.log {
		assert.NotContains(t, string(rec.Value), `"poll"`)
	}
	positions, from := parseOffsets(t, "a/0=13,a/1=23"), []protocol.Offset{10, 23}
	assert.False(t, h.g.GoesOn(positions, from, 5, false), "nobody knows who has committed it")
	assert.True(t, h.g.GoesOn(positions, from, 5, true), "no other poll has been here")
	at++
	assert.False(t, h.g.GoesOn(positions, from, 5, true), "its own commit would name it")
	h.commitBy(6, "a/0=14")
	assert.Contains(t, string(h.log[len(h.log)-1].Value), `"poll":6`)
	positions[0].Offset = 14
	assert.True(t, h.g.GoesOn(positions, from, 6, false))
	assert.False(t, h.g.GoesOn(positions, from, 7, false))
	assert.False(t, h.g.GoesOn(positions, from[:1], 6, false))
	require.Nil(t, h.commit(1, "a/0=15"))
	assert.NotContains(t, string(h.log[len(h.log)-1].Value), `"poll"`, "a client's commit is nobody's delivery")
}

func TestReadAhead(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(h *groupHarness)
		change    func(a *Ahead)
		after     []CursorPosition
		want      bool
	}{
		"nothing has changed":         {want: true},
		"committed by itself":         {meanwhile: func(h *groupHarness) { h.commitBy(5, "a/0=13,a/1=23") }, want: true},
		"by itself, and a failover":   {meanwhile: func(h *groupHarness) { h.commitBy(5, "a/0=13,a/1=23"); h.failover() }, want: true},
		"by another poll":             {meanwhile: func(h *groupHarness) { h.commitBy(6, "a/0=13,a/1=23") }},
		"by another, and a failover":  {meanwhile: func(h *groupHarness) { h.commitBy(6, "a/0=13,a/1=23"); h.failover() }},
		"half of it by another":       {meanwhile: func(h *groupHarness) { h.commitBy(5, "a/0=13"); h.commitBy(6, "a/1=23") }},
		"half of it":                  {meanwhile: func(h *groupHarness) { h.commitBy(5, "a/0=13") }},
		"by itself, and then further": {meanwhile: func(h *groupHarness) { h.commitBy(5, "a/0=13,a/1=23"); require.Nil(h.t, h.commit(1, "a/1=24")) }},
		"committed by somebody":       {meanwhile: func(h *groupHarness) { require.Nil(h.t, h.commit(1, "a/0=13,a/1=23")) }},
		"committed further":           {meanwhile: func(h *groupHarness) { require.Nil(h.t, h.commit(1, "a/1=21")) }},
		"another member joins":        {meanwhile: func(h *groupHarness) { h.poll(2, "a:2") }},
		"one joins and leaves": {meanwhile: func(h *groupHarness) {
			h.poll(2, "a:2")
			recs, err := h.g.DecideLeave(h.now, 2)
			require.Nil(h.t, err)
			h.do(recs)
		}},
		"seek, to the same": {meanwhile: func(h *groupHarness) {
			recs, err := h.g.DecideSeek(h.now, parseOffsets(h.t, "a/0=10"), false)
			require.Nil(h.t, err)
			h.do(recs)
		}},
		"its lease ran out":         {meanwhile: func(h *groupHarness) { h.now += 20_000; h.do(h.g.Expire(h.now)) }},
		"failover":                  {meanwhile: (*groupHarness).failover, want: true},
		"one partition is left out": {change: func(a *Ahead) { a.Positions, a.From = a.Positions[:1], a.From[:1] }},
		"a beginning is left out":   {change: func(a *Ahead) { a.From = a.From[:1] }},
		"another partition":         {change: func(a *Ahead) { a.Positions[1].Partition = 5 }},
		"another topic":             {change: func(a *Ahead) { a.Positions[1].TopicID = "id-b" }},
		"from elsewhere":            {change: func(a *Ahead) { a.From[0]-- }},
		"not after its cursor":      {after: []CursorPosition{{"id-a", 1, 22}}},
		"after its cursor":          {after: []CursorPosition{{"id-a", 1, 22}}, change: func(a *Ahead) { a.From[1] = 22 }, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, commit := range []bool{true, false} {
				h := newGroupHarness(t)
				h.poll(1, "a:2")
				require.Nil(t, h.commit(1, "a/0=10,a/1=20"))
				a := h.aheadOf(1, 3)
				a.Commit = commit
				if c.change != nil {
					c.change(a)
				}
				if c.meanwhile != nil {
					c.meanwhile(h)
				}
				committed := h.g.CommittedList()
				want := c.want && (commit || !strings.Contains(name, "by itself"))
				require.Equal(t, want, h.pollAhead(1, "a:2", a, c.after, 5))
				if !want || !commit {
					require.Equal(t, committed, h.g.CommittedList())
					continue
				}
				position, known := h.g.PositionAt("id-a", 0)
				require.True(t, known)
				assert.EqualValues(t, 13, position)
				at, _ := h.g.committed("id-a", 0)
				assert.EqualValues(t, 13, at.Offset)
			}
		})
	}
}

func TestReadAheadOfAPartitionThatHasNoOffset(t *testing.T) {
	h := newGroupHarness(t)
	h.poll(1, "a:2")
	require.Nil(t, h.commit(1, "a/0=0"))
	require.False(t, h.pollAhead(1, "a:2", h.aheadOf(1, 1), nil, 5), "where the group starts is committed first")
}

// reader is a consumer that reads ahead by what it knows, which may be old.
type reader struct {
	topics string
	knows  *Ahead // of its last answer; nil: nothing
	lost   *Ahead // of a poll of which it does not know what became; nil: none
	name   uint64 // of that
}

// readerStorm has members poll with what they have read ahead, by what they were told now or long
// ago, amid joins, leaves, seeks, commits, lapses and failovers. Its model knows what was
// delivered: each record once, in order, to who owned its partition then.
type readerStorm struct {
	*groupHarness
	rnd     *rand.Rand
	readers map[protocol.ConsumerID]*reader
	model   map[protocol.PartitionID]protocol.Offset
	owners  map[protocol.PartitionID]map[protocol.Generation]protocol.ConsumerID // to whom something was delivered

	names                  uint64
	taken, refused, taken2 int
}

func TestStormOfReadersAhead(t *testing.T) {
	for seed := range uint64(fewer(4)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := &readerStorm{
				groupHarness: newGroupHarness(t), rnd: rand.New(rand.NewPCG(seed, 7)), readers: map[protocol.ConsumerID]*reader{},
				model: map[protocol.PartitionID]protocol.Offset{}, owners: map[protocol.PartitionID]map[protocol.Generation]protocol.ConsumerID{},
			}
			for range 4000 {
				s.step()
			}
			for _, n := range []int{s.taken, s.refused, s.taken2} {
				require.Greater(t, n, 20, "the storm was too mild to show anything")
			}
		})
	}
}

func (s *readerStorm) step() {
	id := protocol.ConsumerID(1 + s.rnd.IntN(5))
	r := s.readers[id]
	if r == nil {
		r = &reader{topics: []string{"a:3", "a:3,b:2", "b:2"}[s.rnd.IntN(3)]}
		s.readers[id] = r
	}
	switch n := s.rnd.IntN(100); {
	case n < 50 && r.knows != nil:
		s.ahead(id, r)
	case n < 80:
		s.askFirst(id, r)
	case n < 88:
		s.now += int64(s.rnd.IntN(6000))
		s.do(s.g.Expire(s.now))
	case n < 90:
		recs, _ := s.g.DecideLeave(s.now, id)
		s.do(recs)
	case n < 95:
		s.commitAt(id)
	case n < 96 && s.g.exists():
		key := protocol.PartitionID{TopicID: "id-a", Partition: s.rnd.IntN(3)}
		o := PartitionOffset{Topic: "a", TopicID: "id-a", Partition: key.Partition, Offset: protocol.Offset(s.rnd.IntN(20))}
		recs, err := s.g.DecideSeek(s.now, []PartitionOffset{o}, false)
		require.Nil(s.t, err)
		s.do(recs)
		s.model[key] = o.Offset
	case n < 98:
		s.failover()
	}
	for key, at := range s.model {
		require.Equal(s.t, at, s.g.offsets.At(key).Offset, "%v", key)
	}
}

// askFirst is a poll that asks for its share, reads it and delivers it, which takes a while.
func (s *readerStorm) askFirst(id protocol.ConsumerID, r *reader) {
	var starts []PartitionOffset
	for _, a := range s.poll(id, r.topics) {
		if a.Committed == nil {
			starts = append(starts, PartitionOffset{Topic: a.Topic, TopicID: a.TopicID, Partition: a.Partition})
		}
	}
	_, recs, err := s.g.DecideStart(s.now, id, s.g.Generation(), starts)
	require.Nil(s.t, err)
	s.do(recs)
	for _, o := range starts {
		s.model[o.Key()] = 0
	}
	a := s.aheadOf(id, protocol.Offset(s.rnd.IntN(4)))
	if s.rnd.IntN(4) > 0 {
		recs, err = s.g.DecideAutoCommit(s.now, id, a.Generation, a.Positions, 0)
		require.Nil(s.t, err)
		s.do(recs)
		require.True(s.t, s.g.Delivered(id, a.Generation, a.Positions))
		s.delivered(id, a)
	}
	r.knows, r.lost = a, nil
}

// commitAt commits a little further, as a client may at any time.
func (s *readerStorm) commitAt(id protocol.ConsumerID) {
	assigned := s.g.assigned(s.g.now, id)
	if len(assigned) == 0 {
		return
	}
	a := assigned[s.rnd.IntN(len(assigned))]
	key := protocol.PartitionID{TopicID: a.TopicID, Partition: a.Partition}
	o := PartitionOffset{Topic: a.Topic, TopicID: a.TopicID, Partition: a.Partition, Offset: s.model[key] + protocol.Offset(s.rnd.IntN(2))}
	recs, err := s.g.DecideCommit(s.now, id, nil, []PartitionOffset{o}, false)
	require.Nil(s.t, err)
	s.do(recs)
	s.model[key] = o.Offset
}

// ahead is a poll that has read before it asks. Its answer may be lost on the way: then it
// asks once more.
func (s *readerStorm) ahead(id protocol.ConsumerID, r *reader) {
	a, repeated := r.lost, r.lost != nil
	if !repeated {
		a = &Ahead{Generation: r.knows.Generation, Commit: s.rnd.IntN(4) > 0}
		for _, o := range r.knows.Positions {
			a.From = append(a.From, o.Offset)
			o.Offset += protocol.Offset(s.rnd.IntN(3))
			a.Positions = append(a.Positions, o)
		}
	}
	if !repeated {
		s.names++
		r.name = s.names
	}
	took := s.pollAhead(id, r.topics, a, nil, r.name)
	switch {
	case !took:
		s.refused++
		r.lost = nil
		return
	case a.Commit && repeated:
		s.taken2++ // it is at the end of it, by this time or by the one before
	case a.Commit:
		s.taken++
		s.delivered(id, a)
		if s.rnd.IntN(5) == 0 {
			r.lost = a
			return
		}
	default:
		for i := range a.From {
			require.Equal(s.t, s.model[a.Positions[i].Key()], a.From[i], "records were read that are not next")
		}
	}
	r.lost = nil
	if a.Commit {
		r.knows = a
	}
	if repeated {
		for i := range a.Positions {
			s.model[a.Positions[i].Key()] = a.Positions[i].Offset
		}
	}
}

// delivered checks that what is delivered was next, and belonged to the member.
func (s *readerStorm) delivered(id protocol.ConsumerID, a *Ahead) {
	for i := range a.Positions {
		o := &a.Positions[i]
		require.Equal(s.t, s.model[o.Key()], a.From[i], "records of %v were skipped, or delivered twice", o.Key())
		require.Equal(s.t, id, s.g.owner(o.TopicID, o.Partition))
		by := s.owners[o.Key()]
		if by == nil {
			by = map[protocol.Generation]protocol.ConsumerID{}
			s.owners[o.Key()] = by
		}
		if other, known := by[a.Generation]; known {
			require.Equal(s.t, other, id, "%v was delivered to two members of generation %d", o.Key(), a.Generation)
		}
		by[a.Generation] = id
		s.model[o.Key()] = o.Offset
	}
}

package group

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// stormMember is what a consumer knows: what it was told last.
type stormMember struct {
	topics     string
	generation protocol.Generation
	assigned   []AssignedPartition
}

// storm throws random events at a group of up to 100 members in simulated
// time and compares it with a model that knows only what callers were told.
type storm struct {
	*groupHarness
	rnd     *rand.Rand
	members map[protocol.ConsumerID]*stormMember
	sizes   map[string]int // partitions per topic
	model   map[protocol.PartitionID]protocol.Offset
	zombies int // refused commits, so that a test can tell that there were some
}

func TestStormOf100Members(t *testing.T) {
	for seed := range uint64(fewer(3)) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := &storm{
				groupHarness: newGroupHarness(t), rnd: rand.New(rand.NewPCG(seed, 2)),
				members: map[protocol.ConsumerID]*stormMember{}, model: map[protocol.PartitionID]protocol.Offset{},
				sizes: map[string]int{"a": 60, "b": 40, "c": 20},
			}
			for range 1000 {
				s.step()
				s.check()
			}
			require.Greater(t, s.zombies, 50, "the storm was too mild to show anything")
			require.Greater(t, len(s.model), 60)
		})
	}
}

func (s *storm) step() {
	id := protocol.ConsumerID(1 + s.rnd.IntN(100))
	switch n := s.rnd.IntN(100); {
	case n < 45:
		s.pollStep(id)
	case n < 75:
		s.commitStep(id)
	case n < 90:
		s.passTime(int64(s.rnd.IntN(1500)))
	case n < 94:
		recs, err := s.g.DecideLeave(s.now, id)
		require.True(s.t, err == nil || err.Code.Status() == 404)
		s.do(recs)
	case n < 96:
		s.seekStep()
	case n < 97:
		s.sizes[string(rune('a'+s.rnd.IntN(3)))]++
	case n < 98:
		s.failover()
	case n < 99:
		s.passTime(15_000) // everyone lapses
	default:
		s.dropTopic("c")
	}
}

func (s *storm) pollStep(id protocol.ConsumerID) {
	m := s.members[id]
	if m == nil || s.rnd.IntN(20) == 0 {
		m = &stormMember{topics: []string{"a", "ab", "abc", "bc", "c"}[s.rnd.IntN(5)]}
		s.members[id] = m
	}
	text := ""
	for _, name := range m.topics {
		text += fmt.Sprintf(",%c:%d", name, s.sizes[string(name)])
	}
	m.assigned = s.poll(id, text[1:])
	m.generation = s.g.Generation()
	var missing, all []PartitionOffset
	for _, a := range m.assigned {
		at, known := s.model[protocol.PartitionID{TopicID: a.TopicID, Partition: a.Partition}]
		require.Equal(s.t, known, a.Committed != nil)
		o := PartitionOffset{Topic: a.Topic, TopicID: a.TopicID, Partition: a.Partition, Offset: at}
		if known {
			require.Equal(s.t, at, *a.Committed, "a member starts where the group has committed")
		} else {
			missing = append(missing, o)
		}
		o.Offset += protocol.Offset(s.rnd.IntN(5))
		all = append(all, o)
	}
	committed, recs, err := s.g.DecideStart(s.now, id, m.generation, missing)
	require.Nil(s.t, err)
	require.Len(s.t, committed, len(missing))
	s.do(recs)
	for _, o := range missing {
		s.model[o.Key()] = o.Offset
	}
	require.True(s.t, s.g.Delivered(id, m.generation, all))
}

// commitStep commits as a consumer that goes by what it was told last, which
// may be long ago.
func (s *storm) commitStep(id protocol.ConsumerID) {
	m := s.members[id]
	if m == nil || len(m.assigned) == 0 {
		return
	}
	a := m.assigned[s.rnd.IntN(len(m.assigned))]
	key := protocol.PartitionID{TopicID: a.TopicID, Partition: a.Partition}
	at := s.model[key] + protocol.Offset(s.rnd.IntN(20)-3)
	o := PartitionOffset{Topic: a.Topic, TopicID: a.TopicID, Partition: a.Partition, Offset: max(0, at)}
	var generation *protocol.Generation
	if s.rnd.IntN(2) == 0 {
		generation = &m.generation
	}
	owner := s.g.owner(a.TopicID, a.Partition)
	recs, err := s.g.DecideCommit(s.now, id, generation, []PartitionOffset{o}, false)
	s.do(recs)
	switch {
	case !s.g.IsMember(id), generation != nil && m.generation != s.g.Generation(), owner != 0 && owner != id:
		require.NotNil(s.t, err, "a zombie has committed")
		s.zombies++
	case o.Offset < s.model[key]:
		requireCode(s.t, protocol.CodeOffsetRegression, err)
	default:
		require.Nil(s.t, err)
		s.model[key] = o.Offset
		s.g.RenewLease(s.now, id)
	}
}

func (s *storm) seekStep() {
	if !s.g.exists() {
		return
	}
	o := PartitionOffset{Topic: "a", TopicID: "id-a", Partition: s.rnd.IntN(s.sizes["a"]), Offset: protocol.Offset(s.rnd.IntN(50))}
	before := s.g.Generation()
	recs, err := s.g.DecideSeek(s.now, []PartitionOffset{o}, false)
	require.Nil(s.t, err)
	s.do(recs)
	s.model[o.Key()] = o.Offset
	require.Equal(s.t, len(memberIDs(s.g)) > 0, s.g.Generation() > before)
}

func (s *storm) dropTopic(name string) {
	s.do(s.g.DecideTopicDeleted(s.now, "id-"+name))
	require.NotContains(s.t, topicIDs(s.g), "id-"+name)
	for key := range s.model {
		if key.TopicID == "id-"+name {
			delete(s.model, key)
		}
	}
}

// passTime advances the clock, firing the timer of leases as the shell would.
func (s *storm) passTime(ms int64) {
	end := s.now + ms
	for at := s.g.NextExpiry(s.now); at != 0 && at <= end; at = s.g.NextExpiry(s.now) {
		s.now = at
		s.do(s.g.Expire(s.now))
		require.Empty(s.t, s.g.Expire(s.now), "once is enough")
	}
	s.now = end
}

// check compares committed offsets with the model and looks for members that
// should have been expired. Owners, balance and replay are checked by do.
func (s *storm) check() {
	require.Equal(s.t, len(s.model), s.g.offsets.Len())
	for key, at := range s.model {
		require.Equal(s.t, at, s.g.offsets.At(key).Offset, "%v", key)
	}
	wanted := map[string]bool{}
	for _, m := range s.g.now.Members {
		for _, id := range m.Topics {
			wanted[id] = wanted[id] || s.g.live(s.now, m.ID)
		}
	}
	if s.now%7 != 0 { // often enough
		return
	}
	s.do(s.g.Expire(s.now))
	for _, t := range s.g.now.Topics {
		for _, owner := range t.Owners {
			require.False(s.t, wanted[t.ID] && owner != 0 && !s.g.live(s.now, owner),
				"%d is lapsed and keeps a partition of %s that a live member wants", owner, t.Name)
		}
	}
}

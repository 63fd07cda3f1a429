package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// makeTopics returns topics "a", "b", ... with that many partitions each.
func makeTopics(partitions ...int) []Topic {
	topics := make([]Topic, len(partitions))
	for i, n := range partitions {
		id := string(rune('a' + i))
		topics[i] = Topic{ID: id, Name: id, Owners: make([]protocol.ConsumerID, n)}
	}
	return topics
}

// makeMembers returns members 1, 2, ...; each string lists its topics.
func makeMembers(subscriptions ...string) []Member {
	members := make([]Member, len(subscriptions))
	for i, s := range subscriptions {
		members[i] = Member{ID: protocol.ConsumerID(i + 1), SessionMs: 10_000}
		for _, c := range s {
			members[i].Topics = append(members[i].Topics, string(c))
		}
	}
	return members
}

func loads(members []Member, topics []Topic) map[protocol.ConsumerID]int {
	load := map[protocol.ConsumerID]int{}
	for _, m := range members {
		load[m.ID] = 0
	}
	for _, t := range topics {
		for _, o := range t.Owners {
			load[o]++
		}
	}
	return load
}

// checkAssignment checks, without the code under test, that partitions belong
// to subscribers exactly if there are any, and that equally subscribed members
// differ by one at most.
func checkAssignment(t testing.TB, members []Member, topics []Topic) {
	t.Helper()
	load := loads(members, topics)
	wanted := map[string]bool{}
	byID := map[protocol.ConsumerID]Member{}
	for _, m := range members {
		byID[m.ID] = m
		for _, id := range m.Topics {
			wanted[id] = true
		}
	}
	for _, tp := range topics {
		for p, o := range tp.Owners {
			if o == 0 {
				require.False(t, wanted[tp.ID], "%s/%d has no owner", tp.ID, p)
				continue
			}
			require.Contains(t, byID[o].Topics, tp.ID, "%s/%d belongs to %d, who does not subscribe", tp.ID, p, o)
		}
	}
	least, most := map[string]int{}, map[string]int{}
	for _, m := range members {
		key := fmt.Sprint(m.Topics)
		n, seen := least[key]
		if !seen {
			n = load[m.ID]
		}
		least[key] = min(n, load[m.ID])
		most[key] = max(most[key], load[m.ID])
	}
	for key := range least {
		require.LessOrEqual(t, most[key]-least[key], 1, "members with topics %s", key)
	}
}

// moved counts partitions that had an owner and have another.
func moved(before, after []Topic) int {
	n := 0
	for i := range before {
		for p, o := range before[i].Owners {
			if o != 0 && after[i].Owners[p] != o {
				n++
			}
		}
	}
	return n
}

func cloneTopics(topics []Topic) []Topic {
	return (&membership{Topics: topics}).clone().Topics
}

func TestAssignCases(t *testing.T) {
	tests := []struct {
		name       string
		members    []Member
		partitions []int
		want       map[protocol.ConsumerID]int
	}{
		{"nobody", nil, []int{3}, map[protocol.ConsumerID]int{0: 3}},
		{"one member takes all", makeMembers("ab"), []int{3, 2}, map[protocol.ConsumerID]int{1: 5}},
		{"even", makeMembers("a", "a", "a"), []int{6}, map[protocol.ConsumerID]int{1: 2, 2: 2, 3: 2}},
		{"more members than partitions", makeMembers("a", "a", "a"), []int{2}, map[protocol.ConsumerID]int{1: 1, 2: 1, 3: 0}},
		{"topic without subscriber", makeMembers("a"), []int{1, 2}, map[protocol.ConsumerID]int{0: 2, 1: 1}},
		{"member without topics", makeMembers("", "a"), []int{2}, map[protocol.ConsumerID]int{1: 0, 2: 2}},
		{"who has no choice is served first", makeMembers("ab", "b"), []int{2, 2}, map[protocol.ConsumerID]int{1: 2, 2: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			topics := makeTopics(tt.partitions...)
			assignPartitions(tt.members, topics)
			checkAssignment(t, tt.members, topics)
			assert.Equal(t, tt.want, loads(tt.members, topics))
		})
	}
}

func TestAssignHandsOnAlongAChain(t *testing.T) {
	// 1 can only give to 2, and 3 can only get from 2: no single move helps.
	topics := makeTopics(2, 1)
	topics[0].Owners = []protocol.ConsumerID{1, 1}
	topics[1].Owners = []protocol.ConsumerID{2}
	members := makeMembers("a", "ab", "b")
	assignPartitions(members, topics)
	assert.Equal(t, map[protocol.ConsumerID]int{1: 1, 2: 1, 3: 1}, loads(members, topics))
}

func TestAssignMovesAsLittleAsItCan(t *testing.T) {
	for _, tt := range []struct{ members, partitions int }{{1, 10}, {3, 10}, {4, 12}, {10, 7}, {99, 300}} {
		t.Run(fmt.Sprintf("%d members %d partitions", tt.members, tt.partitions), func(t *testing.T) {
			topics := makeTopics(tt.partitions)
			members := makeMembers(slices.Repeat([]string{"a"}, tt.members+1)...)
			assignPartitions(members[:tt.members], topics)
			before := cloneTopics(topics)
			assignPartitions(members[:tt.members], topics)
			assert.Zero(t, moved(before, topics), "nothing has changed")

			assignPartitions(members, topics)
			checkAssignment(t, members, topics)
			assert.Equal(t, tt.partitions/(tt.members+1), moved(before, topics), "a join moves the new member's share")

			before = cloneTopics(topics)
			gone := loads(members, topics)[1]
			assignPartitions(members[1:], topics)
			checkAssignment(t, members[1:], topics)
			assert.Equal(t, gone, moved(before, topics), "a leave moves what the member had")
		})
	}
}

// TestAssignProperties changes random groups at random: the assignment stays
// valid and balanced, is a function of its arguments, moves nothing when
// nothing changes, and no chain of moves can improve it.
func TestAssignProperties(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var partitions []int
		for range 1 + rnd.IntN(5) {
			partitions = append(partitions, 1+rnd.IntN(12))
		}
		topics := makeTopics(partitions...)
		members := map[protocol.ConsumerID]Member{}
		for range 12 {
			id := protocol.ConsumerID(1 + rnd.IntN(8))
			delete(members, id)
			if rnd.IntN(4) > 0 {
				m := Member{ID: id}
				for i := range topics {
					if rnd.IntN(3) > 0 {
						m.Topics = append(m.Topics, topics[i].ID)
					}
				}
				members[id] = m
			}
			var list []Member
			for id := protocol.ConsumerID(1); id <= 8; id++ {
				if m, ok := members[id]; ok {
					list = append(list, m)
				}
			}
			twin := cloneTopics(topics)
			assignPartitions(list, topics)
			assignPartitions(list, twin)
			require.Equal(t, topics, twin, "seed %d: not deterministic", seed)
			checkAssignment(t, list, topics)
			checkNoChain(t, list, topics)
			assignPartitions(list, twin)
			require.Zero(t, moved(topics, twin), "seed %d: moved without a reason", seed)
		}
	}
}

// checkNoChain checks that from no member another one can be reached, passing
// on partitions, that has at least two less.
func checkNoChain(t *testing.T, members []Member, topics []Topic) {
	load := loads(members, topics)
	for _, from := range members {
		reached := map[protocol.ConsumerID]bool{from.ID: true}
		for grown := true; grown; {
			grown = false
			for _, tp := range topics {
				if !slices.ContainsFunc(tp.Owners, func(o protocol.ConsumerID) bool { return reached[o] }) {
					continue
				}
				for _, to := range members {
					if slices.Contains(to.Topics, tp.ID) && !reached[to.ID] {
						reached[to.ID], grown = true, true
					}
				}
			}
		}
		for to := range reached {
			require.Less(t, load[from.ID]-load[to], 2, "%d could pass on to %d", from.ID, to)
		}
	}
}

func TestAssignIsFastEnoughForBigGroups(t *testing.T) {
	var subscriptions []string
	for i := range 100 {
		subscriptions = append(subscriptions, []string{"abc", "ab", "bc", "c"}[i%4])
	}
	members := makeMembers(subscriptions...)
	topics := makeTopics(100, 100, 100)
	best := time.Hour // the best of some, because the machine may be busy
	for range 5 {
		start := time.Now()
		assignPartitions(members[:99], topics)
		assignPartitions(members, topics)
		best = min(best, time.Since(start))
		for i := range topics {
			clear(topics[i].Owners)
		}
	}
	assert.Less(t, best, 2*time.Second, "a few milliseconds on a machine that does nothing else")
}

func BenchmarkAssign(b *testing.B) {
	for _, n := range []int{3, 100} {
		b.Run(fmt.Sprintf("members=%d/partitions=300", n), func(b *testing.B) {
			members := makeMembers(slices.Repeat([]string{"abc"}, n)...)
			for b.Loop() {
				assignPartitions(members, makeTopics(100, 100, 100))
			}
		})
	}
}

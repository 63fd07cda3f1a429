package group

import (
	"cmp"
	"slices"

	"ottla/protocol"
)

// assignPartitions gives every partition of topics an owner among the members
// that subscribe to it (0 if none does), changing Owners in place. It is
//
//   - sticky: who owns a partition and may still have it keeps it, unless
//     balance takes it away;
//   - balanced: afterwards no partitions can be moved along a chain of
//     members from one to another that has two less; so equally subscribed
//     members differ by one at most, and no assignment has a smaller maximum;
//   - deterministic: a function of its arguments alone.
//
// Members and topics are ascending by id, and topics contains every topic that
// a member subscribes to.
func assignPartitions(members []Member, topics []Topic) {
	a := newAssigner(members, topics)
	a.keep()
	a.fill()
	a.balance()
}

// assigner works with indexes of members and topics instead of ids.
type assigner struct {
	members     []Member
	topics      []Topic
	subscribers [][]int // per topic: members
	subscribed  [][]int // per member: topics
	count       [][]int // per topic and member: partitions owned
	load        []int   // per member: partitions owned
}

func newAssigner(members []Member, topics []Topic) *assigner {
	a := &assigner{
		members: members, topics: topics, load: make([]int, len(members)),
		subscribers: make([][]int, len(topics)), subscribed: make([][]int, len(members)), count: make([][]int, len(topics)),
	}
	index := make(map[string]int, len(topics))
	for t := range topics {
		index[topics[t].ID] = t
		a.count[t] = make([]int, len(members))
	}
	for m := range members {
		for _, id := range members[m].Topics {
			if t, ok := index[id]; ok {
				a.subscribers[t] = append(a.subscribers[t], m)
				a.subscribed[m] = append(a.subscribed[m], t)
			}
		}
	}
	return a
}

// keep leaves partitions with owners that are members and still subscribe.
func (a *assigner) keep() {
	for t := range a.topics {
		at := make(map[protocol.ConsumerID]int, len(a.subscribers[t]))
		for _, m := range a.subscribers[t] {
			at[a.members[m].ID] = m
		}
		owners := a.topics[t].Owners
		for p := range owners {
			m, ok := at[owners[p]]
			if !ok {
				owners[p] = 0
				continue
			}
			a.count[t][m]++
			a.load[m]++
		}
	}
}

// fill gives each free partition to the subscriber with the least load, among
// equals to the one with the least of that topic. Topics with few subscribers
// come first: they have the least choice.
func (a *assigner) fill() {
	order := make([]int, len(a.topics))
	for t := range order {
		order[t] = t
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(len(a.subscribers[x]), len(a.subscribers[y])) })
	for _, t := range order {
		if len(a.subscribers[t]) == 0 {
			continue
		}
		for p, owner := range a.topics[t].Owners {
			if owner != 0 {
				continue
			}
			m := slices.MinFunc(a.subscribers[t], func(x, y int) int {
				return cmp.Or(cmp.Compare(a.load[x], a.load[y]), cmp.Compare(a.count[t][x], a.count[t][y]))
			})
			a.topics[t].Owners[p] = a.members[m].ID
			a.count[t][m]++
			a.load[m]++
		}
	}
}

// balance moves partitions, from the most loaded members first, until no
// chain of moves makes the load more even. Each move lowers the sum of the
// squares of the loads, so it ends.
func (a *assigner) balance() {
	for a.improve() {
	}
}

// improve looks for one member that can hand on a partition, and does so.
func (a *assigner) improve() bool {
	if len(a.load) == 0 {
		return false
	}
	least := slices.Min(a.load)
	var donors []int
	for m, load := range a.load {
		if load >= least+2 {
			donors = append(donors, m)
		}
	}
	slices.SortStableFunc(donors, func(x, y int) int { return cmp.Compare(a.load[y], a.load[x]) })
	for _, donor := range donors {
		if a.shift(donor) {
			return true
		}
	}
	return false
}

// hop is how a search reached a member: a partition of topic comes from from.
type hop struct{ from, topic int }

// shift searches breadth first for the nearest member with at least two
// partitions less than donor, the least loaded of those, and moves one
// partition along each step of the way.
func (a *assigner) shift(donor int) bool {
	reached := map[int]hop{donor: {-1, -1}}
	used := make([]bool, len(a.topics))
	for ring := []int{donor}; len(ring) > 0; {
		var next []int
		best := -1
		for _, from := range ring {
			for _, t := range a.subscribed[from] {
				if used[t] || a.count[t][from] == 0 {
					continue
				}
				used[t] = true
				for _, to := range a.subscribers[t] {
					if _, seen := reached[to]; seen {
						continue
					}
					reached[to] = hop{from, t}
					next = append(next, to)
					if a.load[to] <= a.load[donor]-2 && (best < 0 || a.load[to] < a.load[best]) {
						best = to
					}
				}
			}
		}
		if best >= 0 {
			for to := best; to != donor; to = reached[to].from {
				a.move(reached[to].topic, reached[to].from, to)
			}
			return true
		}
		ring = next
	}
	return false
}

// move hands the last partition of a topic that from owns to to.
func (a *assigner) move(t, from, to int) {
	owners := a.topics[t].Owners
	for p := len(owners) - 1; p >= 0; p-- {
		if owners[p] == a.members[from].ID {
			owners[p] = a.members[to].ID
			break
		}
	}
	a.count[t][from]--
	a.count[t][to]++
	a.load[from]--
	a.load[to]++
}

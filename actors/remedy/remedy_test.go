package remedy

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/replica"
	"ottla/protocol"
)

// TestRemedy asks what replica 1 of three needs, by what is known of 2 and 3.
func TestRemedy(t *testing.T) {
	key := protocol.PartitionID{TopicID: "t", Partition: 2}
	const runs, awaited, gone, damaged, moves, replaced = "runs", "awaited", "gone", "damaged", "moves", "is replaced"
	for _, c := range []struct {
		two, three string
		want       Remedy
	}{
		{runs, runs, Replace},
		{runs, awaited, Wait},
		{awaited, awaited, Wait},
		{runs, gone, Mend},
		{awaited, gone, Mend},
		{gone, gone, Mend},
		{runs, damaged, Mend},     // although it has not ended yet
		{awaited, damaged, Mend},  // it has reported
		{runs, moves, Replace},    // it serves until its successor does
		{runs, replaced, Mend},    // its successor may have nothing yet
		{awaited, replaced, Mend}, // nor is it waited for
	} {
		problems := Problems{Of(key, 1): {Fault: replica.FaultDamage}, Of(protocol.PartitionID{TopicID: "t"}, 2): {Fault: replica.FaultDamage}}
		is := map[uint64]string{2: c.two, 3: c.three}
		o := Others{
			Partition: &catalog.Partition{Replicas: []protocol.PlacedReplica{{Broker: 1, ReplicaID: 1}, {Broker: 2, ReplicaID: 2}, {Broker: 3, ReplicaID: 3}}},
			GoesOn:    func(broker int) bool { return is[uint64(broker)] == moves },
			Reachable: func(id uint64) bool { return is[id] != awaited && is[id] != gone },
			Awaited:   func(r protocol.PlacedReplica) bool { return is[r.ReplicaID] != gone },
		}
		for id, how := range is {
			switch how {
			case damaged:
				problems[Of(key, id)] = Problem{Fault: replica.FaultDisk}
			case moves, replaced:
				o.Partition.Replacing = append(o.Partition.Replacing, catalog.PendingReplica{Broker: int(id), OldID: id, NewID: 10 + id})
			}
		}
		assert.Equal(t, c.want, problems.Remedy(key, 1, o), "2 %s, 3 %s", c.two, c.three)
	}
}

func TestProblemsAreForgotten(t *testing.T) {
	a, b := protocol.PartitionID{TopicID: "a"}, protocol.PartitionID{TopicID: "b"}
	at := func(broker int) Problem {
		return Problem{Holder: broker, Broker: broker, Fault: replica.FaultDamage, Cause: errors.New("checksum")}
	}
	all := func() Problems { return Problems{Of(a, 1): at(1), Of(a, 2): at(2), Of(b, 1): at(1)} }

	p := all()
	p.ForgetHolder(1)
	assert.Equal(t, Problems{Of(a, 2): at(2)}, p)
	assert.True(t, p.In(a))
	assert.False(t, p.In(b))

	p = all()
	p.ForgetTopic("a")
	assert.Equal(t, map[protocol.PartitionID]bool{b: true}, p.Partitions())

	// Of partition a, 3 is to take the place of 1, and 2 stays.
	part := &catalog.Partition{
		Replicas:  []protocol.PlacedReplica{{Broker: 1, ReplicaID: 1}, {Broker: 2, ReplicaID: 2}},
		Replacing: []catalog.PendingReplica{{Broker: 1, OldID: 1, NewID: 3}},
	}
	p = all()
	p.ForgetLeft(a, part, []uint64{1, 2, 3})
	assert.Len(t, p, 3, "1 votes")
	p.ForgetLeft(a, part, []uint64{2, 3})
	assert.Equal(t, Problems{Of(a, 2): at(2), Of(b, 1): at(1)}, p)

	p = all()
	p[Of(a, 3)], p[Of(a, 4)] = at(1), at(1)
	p.ForgetReplaced(func(key protocol.PartitionID) *catalog.Partition {
		if key == a {
			return part
		}
		return nil
	})
	assert.NotContains(t, p, Of(a, 4), "the metadata has no such replica")
	assert.Len(t, p, 4)
}

func TestProblemsAreDescribed(t *testing.T) {
	key := protocol.PartitionID{TopicID: "a"}
	p := Problems{
		Of(key, 2): {Broker: 2, Fault: replica.FaultMissing, Cause: errors.New("no directory")},
		Of(key, 1): {Broker: 1, Fault: replica.FaultDamage, Cause: errors.New("checksum")},
	}
	part := &catalog.Partition{Replicas: make([]protocol.PlacedReplica, 3)}
	members := func(protocol.PartitionID) *catalog.Partition { return part }
	const text = "broker 1: damaged: checksum; broker 2: missing: no directory"
	require.Equal(t, text, p.Describe(members)[key])
	require.False(t, p.Refuse(Of(key, 3), errors.New("no lender")), "it is not down")
	require.True(t, p.Refuse(Of(key, 1), errors.New("no lender")))
	require.Contains(t, p.Describe(members)[key], "broker 1: damaged: no lender; broker 2: missing: no directory; unless a copy")
	part = &catalog.Partition{Replicas: make([]protocol.PlacedReplica, 1)}
	require.Contains(t, p.Describe(members)[key], "no other copy")

	part = &catalog.Partition{Replicas: []protocol.PlacedReplica{{Broker: 1, ReplicaID: 1}, {Broker: 2, ReplicaID: 2}, {Broker: 3, ReplicaID: 3}}}
	for kept, text := range map[bool]string{
		true:  "broker 3: lost: its directory was lost or an older copy; the replica is being rebuilt",
		false: "broker 3: lost: with it a majority of the partition's replicas was lost; if it stays without a leader, put the directories back or see 'ottla log repair --force-membership'",
	} {
		p = Problems{Of(key, 3): Lost(part, 3, 3, func(int) bool { return kept })}
		require.Equal(t, text, p.Describe(members)[key])
		require.False(t, p.Damaged(key, 3), "its successor is decided on")
	}
}

package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/peers"
	"ottla/actors/routing"
	"ottla/protocol"
)

// leads is the node whose replica leads partition 0 of a topic, 0 if none does.
func (f *testFleet) leads(topic string) int {
	for i, n := range f.nodes {
		t, err := n.LookupTopic("", topic, false, time.Time{})
		if err != nil {
			continue
		}
		if l := routing.Of(t).Partitions[0].Leader(); l != nil {
			if _, here := l.Leader.(*peers.LocalLeader); here {
				return i
			}
		}
	}
	return 0
}

// awaitLeads waits until a node leads partition 0 of a topic.
func (f *testFleet) awaitLeads(topic string) (node int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		node = f.leads(topic)
		return node != 0
	}, patience, time.Millisecond, "nobody leads")
	return node
}

// The disk of a leader hangs: what two others have on theirs is not held back by it. The
// leadership goes to one of them, and what was under way is answered as it is.
func TestALeaderWhoseDiskHangsGivesLeadershipAway(t *testing.T) {
	f := prepareFleet(t, 3)
	f.beforeSync = map[int]func(){}
	disks := map[int]*hangingSync{}
	for i := 1; i <= 3; i++ {
		disks[i] = &hangingSync{hangs: make(chan struct{}, 10_000)}
		f.beforeSync[i] = disks[i].before
	}
	f.beginAll()
	produce(t, f.nodes[1], "q", 0, `1`)
	sick := f.awaitLeads("q")
	well := sick%3 + 1
	goOn := make(chan struct{})
	disks[sick].hang(goOn)
	began := time.Now()
	res := tryProduce(t, f.nodes[sick], "q", 0, `2`)
	require.Nil(t, res.Err, "two of three have it")
	require.Less(t, time.Since(began), patience/2)
	require.Eventually(t, func() bool { l := f.leads("q"); return l != 0 && l != sick }, patience, time.Millisecond)
	produce(t, f.nodes[well], "q", 0, `3`)
	require.Equal(t, []string{`1`, `2`, `3`}, fetchAll(t, f.nodes[well], "q", 0))
	require.True(t, f.nodes[sick].Metrics().Disk.Unfit)
	require.NotEmpty(t, f.nodes[sick].Readiness().Degraded)
	require.Contains(t, f.nodes[sick].Readiness().Degraded[0].Reason, "the disk")

	disks[sick].hang(nil)
	close(goOn)
	for range 50 { // the leadership does not come back at once
		produce(t, f.nodes[sick], "q", 0, `4`)
		require.NotEqual(t, sick, f.leads("q"))
	}
	require.Equal(t, protocol.Offset(53), tryProduce(t, f.nodes[well], "q", 0, `5`).BaseOffset)
}

// The disks of all nodes had trouble a moment ago, and now that of the leader's hangs: the
// others are not trusted for a while, but theirs work.
func TestADiskHangsWhereAllHadTrouble(t *testing.T) {
	f := prepareFleet(t, 3)
	f.beforeSync = map[int]func(){}
	disks := map[int]*hangingSync{}
	for i := 1; i <= 3; i++ {
		disks[i] = &hangingSync{hangs: make(chan struct{}, 10_000)}
		f.beforeSync[i] = disks[i].before
	}
	f.beginAll()
	produce(t, f.nodes[1], "q", 0, `1`)
	goOn := make(chan struct{})
	for _, d := range disks {
		d.hang(goOn)
	}
	asked := make(chan protocol.ProduceResult, 1)
	go func() { asked <- tryProduce(t, f.nodes[1], "q", 0, `2`) }()
	for _, n := range f.nodes {
		require.Eventually(t, func() bool { return n.Metrics().Disk.Unfit }, patience, time.Millisecond)
	}
	for _, d := range disks {
		d.hang(nil)
	}
	close(goOn)
	<-asked
	sick := f.awaitLeads("q")
	again := make(chan struct{})
	disks[sick].hang(again)
	began := time.Now()
	for range 5 {
		require.Nil(t, tryProduce(t, f.nodes[sick%3+1], "q", 0, `3`).Err, "two of three have it")
	}
	require.Less(t, time.Since(began), patience/2, "nobody waits until others are trusted again")
	require.NotEqual(t, sick, f.leads("q"))
	disks[sick].hang(nil)
	close(again)
}

package front

import (
	"fmt"
	"time"

	"ottla/actors/routing"
	"ottla/protocol"
)

// Tasks lists what the fleet is doing or has done, the newest first. Those that run say how
// far the copies are that they wait for.
func (fs *fleetService) Tasks() []protocol.TaskInfo {
	tasks := append([]protocol.TaskInfo{}, fs.host.Tasks()...)
	known := map[string]*protocol.CatchUp{} // by cluster; "": all of them
	for i := range tasks {
		t := &tasks[i]
		if t.State != protocol.TaskRunning {
			continue
		}
		if _, asked := known[t.Cluster]; !asked {
			known[t.Cluster] = fs.catchUp(t.Cluster)
		}
		if c := known[t.Cluster]; c != nil {
			t.CatchUp = c
			t.WaitingFor += ": " + describeCatchUp(c)
		}
	}
	return tasks
}

// Renew waits until this process knows all of the fleet that existed when it was called.
func (fs *fleetService) Renew() *protocol.Error {
	_, err := fs.fleet.Settle(nil, time.Now().Add(settlePatience))
	return err
}

// maxFilling is how many partitions are asked at most how far they are.
const maxFilling = 1000

// catchUp asks the leaders of partitions that get new replicas what these lack. The cluster
// is one's name, "" for all. Nil: nothing, as far as can be told. All are asked before any
// answer is waited for, within one deadline; who does not answer in time counts nothing.
func (fs *fleetService) catchUp(cluster string) *protocol.CatchUp {
	var replies []protocol.Future[routing.PartitionState]
	for _, c := range fs.directory.Clusters() {
		view := c.View()
		if view == nil || cluster != "" && c.Name != cluster {
			continue
		}
		for _, id := range view.Filling {
			p := view.Partitions[id]
			if p == nil || len(replies) == maxFilling {
				continue
			}
			leader := p.Leader() // it may go at any time
			if leader == nil {
				continue
			}
			f := protocol.NewFuture[routing.PartitionState]()
			leader.Ask(&routing.DescribePartition{Reply: f})
			replies = append(replies, f)
		}
	}
	sum := protocol.CatchUp{}
	deadline := time.Now().Add(describeTimeout)
	for _, f := range replies {
		if st, ok := f.Wait(deadline); ok && st.Err == nil {
			for _, l := range st.Lags {
				sum.BytesLeft += l.Bytes
				sum.BytesPerSecond += l.Rate
			}
		}
	}
	if sum.BytesLeft == 0 {
		return nil
	}
	if sum.BytesPerSecond > 0 {
		sum.SecondsLeft = (sum.BytesLeft + sum.BytesPerSecond - 1) / sum.BytesPerSecond
	}
	return &sum
}

func describeCatchUp(c *protocol.CatchUp) string {
	text := fmt.Sprintf("about %d MiB are left", (c.BytesLeft+1<<20-1)>>20)
	if c.BytesPerSecond > 0 {
		text += fmt.Sprintf(", %.1f MiB/s, some %s", float64(c.BytesPerSecond)/(1<<20), time.Duration(c.SecondsLeft)*time.Second)
	}
	return text
}

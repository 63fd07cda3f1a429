package front

import (
	"time"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// What clients ask that speak Kafka's classic group protocol. A code is Kafka's; an
// error means that no coordinator has answered, or that the client may not.

// rebalanceSlack is how much longer than a rebalance may take the answer to a join or
// sync is waited for.
const rebalanceSlack = 5 * time.Second

// askClassic asks a group's coordinator, once: what is asked may not be asked twice. A join
// that is put to two coordinators could make two members of one client. So a question goes
// on to the next leader only if the first has refused it.
func (gs *groupService) askClassic(cluster, group string, deadline time.Time, ask func() *routing.Classic) (routing.ClassicAnswer, *protocol.Error) {
	var none routing.ClassicAnswer
	if err := gs.mayJoin(cluster, group); err != nil {
		return none, err
	}
	all, err := gs.serving(cluster)
	if err != nil {
		return none, err
	}
	offsets := all[0].Table().Topics[protocol.OffsetsTopic]
	if offsets == nil {
		return none, routing.ErrStarting
	}
	f := follow[routing.ClassicAnswer]{
		locator: gs.locator, topic: offsets, partition: routing.GroupPartition(group, offsets.Partitions), deadline: deadline,
		patience: minTime(deadline, time.Now().Add(time.Second)), // clients look for the coordinator again by themselves
		put: func(to *routing.Leadership, slot protocol.Future[routing.ClassicAnswer]) {
			m := ask()
			m.Reply = slot
			to.Ask(&routing.GroupRequest{Group: group, Msg: m})
		},
		failed: func(a routing.ClassicAnswer) *protocol.Error { return a.Err }, judge: judgeOnce,
	}
	f.begin(protocol.NewFuture[routing.ClassicAnswer]())
	return f.run()
}

// JoinClassic asks to be a member, and waits for the others to join.
func (gs *groupService) JoinClassic(cluster, group string, req *protocol.ClassicJoin) (protocol.ClassicJoined, *protocol.Error) {
	// The coordinator answers when all have joined, or when it has given up those who have
	// not.
	wait := time.Duration(max(req.RebalanceMs, req.SessionMs))*time.Millisecond + rebalanceSlack
	a, err := gs.askClassic(cluster, group, time.Now().Add(wait), func() *routing.Classic { return &routing.Classic{Join: req} })
	return a.Join, err
}

// SyncClassic asks for a member's assignment, and waits for the leader to bring it, for
// at most so long.
func (gs *groupService) SyncClassic(cluster, group string, req *protocol.ClassicSync, wait time.Duration) (protocol.ClassicSynced, *protocol.Error) {
	a, err := gs.askClassic(cluster, group, time.Now().Add(wait+rebalanceSlack), func() *routing.Classic { return &routing.Classic{Sync: req} })
	return a.Sync, err
}

// HeartbeatClassic is a sign of life.
func (gs *groupService) HeartbeatClassic(cluster, group string, m protocol.ClassicMember) (int16, *protocol.Error) {
	a, err := gs.askClassic(cluster, group, gs.soon(), func() *routing.Classic { return &routing.Classic{Heartbeat: &m} })
	return a.Code, err
}

// LeaveClassic removes members; the codes are in their order.
func (gs *groupService) LeaveClassic(cluster, group string, members []protocol.ClassicMember) ([]int16, *protocol.Error) {
	a, err := gs.askClassic(cluster, group, gs.soon(), func() *routing.Classic { return &routing.Classic{Leave: members} })
	return a.Codes, err
}

// CommitClassic commits offsets of topics that exist.
func (gs *groupService) CommitClassic(cluster, group string, m protocol.ClassicMember, offsets []protocol.OffsetCommit) (int16, *protocol.Error) {
	all, err := gs.serving(cluster)
	if err != nil {
		return 0, err
	}
	_, resolved, err := gs.commitOffsets(all[0], &protocol.CommitRequest{Offsets: offsets, Force: true})
	if err != nil {
		return 0, err
	}
	a, err := gs.askClassic(cluster, group, gs.soon(), func() *routing.Classic {
		return &routing.Classic{Commit: &routing.ClassicCommit{ClassicMember: m, Offsets: resolved}}
	})
	return a.Code, err
}

// DescribeClassic describes the members of a group that speak Kafka's protocol.
func (gs *groupService) DescribeClassic(cluster, group string) (protocol.ClassicGroupInfo, *protocol.Error) {
	if err := gs.mayGroup(cluster, group); err != nil {
		return protocol.ClassicGroupInfo{}, err
	}
	a, err := gs.askClassic(cluster, group, gs.soon(), func() *routing.Classic { return &routing.Classic{Describe: true} })
	return a.Group, err
}

// DropOffsets removes committed offsets of a group that has no members.
func (gs *groupService) DropOffsets(cluster, name string, partitions []protocol.TopicPartition) (int16, *protocol.Error) {
	if err := gs.mayGroup(cluster, name); err != nil {
		return 0, err
	}
	all, err := gs.serving(cluster)
	if err != nil {
		return 0, err
	}
	keys := []protocol.PartitionID{}
	for _, p := range partitions {
		if t := all[0].Table().Topics[p.Topic]; t != nil {
			o := group.PartitionOffset{TopicID: t.ID, Partition: p.Partition}
			keys = append(keys, o.Key())
		}
	}
	a, err := gs.askClassic(cluster, name, gs.soon(), func() *routing.Classic { return &routing.Classic{Drop: keys} })
	return a.Code, err
}

package actors

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/coordinator"
	"ottla/actors/disk"
	"ottla/actors/peers"
	"ottla/actors/replica"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// lonePartition is a partition's actor with one replica, a disk whose errors
// the test decides, and a parent that collects what it is told.
type lonePartition struct {
	t     *testing.T
	env   *environment
	pid   *actor.PID
	up    *actor.PID
	told  chan any
	route *routing.Partition
	fails atomic.Pointer[error] // what every write is answered with
}

func startLonePartition(t *testing.T) *lonePartition {
	p := &lonePartition{t: t, told: make(chan any, 100)}
	p.env = newEnvironment(Options{Logger: slog.New(slog.DiscardHandler)}.withDefaults(), nil)
	root := p.env.system.Root
	p.env.disk = root.Spawn(actor.PropsFromFunc(p.disk))
	key := protocol.PartitionID{TopicID: "t"}
	group := peers.NewLinks("c", nil).Group(key)
	p.route = routing.NewPartition(key, group, 1)
	spec := partitionSpec{
		id:  logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "alone", Broker: 1, ReplicaID: 1},
		dir: filepath.Join(t.TempDir(), "alone-0"), want: []protocol.PlacedReplica{{Broker: 1, ReplicaID: 1}},
		founders: []uint64{1}, settings: catalog.TopicSettings{SegmentBytes: 1 << 20}, route: p.route, group: group,
	}
	started := protocol.NewFuture[*actor.PID]()
	p.up = root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			spec.clusterPID = ctx.Self()
			require.NoError(t, spec.create(p.env))
			started.Put(ctx.Spawn(actor.PropsFromProducer(func() actor.Actor {
				return &partitionActor{env: p.env, spec: spec, log: p.env.log}
			})))
		default:
			p.told <- m
		}
	}))
	p.pid = <-started.C()
	t.Cleanup(func() { _ = root.StopFuture(p.up).Wait() })
	require.NotNil(t, p.route.Await(nil, time.Now().Add(patience)), "no leader")
	return p
}

func (p *lonePartition) disk(ctx actor.Context) {
	if w, ok := ctx.Message().(*disk.Write); ok {
		err := w.Batch.Execute()
		if fail := p.fails.Load(); fail != nil {
			err = *fail
		}
		ctx.Send(w.From, &disk.Done{Seq: w.Seq, Err: err})
	}
}

// await waits for something that the partition tells its parent.
func await[T any](p *lonePartition) T {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case m := <-p.told:
			if want, ok := m.(T); ok {
				return want
			}
		case <-deadline:
			p.t.Fatal("the partition does not answer")
		}
	}
}

func TestPartitionClosesOnAFullDisk(t *testing.T) {
	p := startLonePartition(t)
	full := error(syscall.ENOSPC)
	p.fails.Store(&full)
	p.env.system.Root.Send(p.pid, &closePartition{ReplyTo: p.up})
	await[*partitionClosed](p)
}

// TestFailedPartitionAnswersWhatIsInItsMailbox: a request behind the one with
// which the storage failed had no effect, and is told so at once.
func TestFailedPartitionAnswersWhatIsInItsMailbox(t *testing.T) {
	p := startLonePartition(t)
	broken := errors.New("input/output error")
	p.fails.Store(&broken)
	failing, goOn := make(chan struct{}), make(chan struct{})
	p.env.system.Root.Send(p.pid, &coordinator.ProposeRecords{Lines: oneLine(), Done: func(protocol.ProduceResult) {
		close(failing) // the partition is inside of its Receive
		<-goOn
	}})
	<-failing
	req := &protocol.ProduceRequest{Lines: *oneLine(), Reply: protocol.NewFuture[protocol.ProduceResult]()}
	p.env.system.Root.Send(p.pid, req)
	close(goOn)
	res, ok := req.Reply.Wait(time.Now().Add(patience))
	require.True(t, ok, "dropped")
	require.Equal(t, protocol.CodeNoLeader, res.Err.Code)
	require.Equal(t, replica.FaultDisk, await[*replicaDown](p).Fault)
}

func oneLine() *protocol.Lines {
	l := &protocol.Lines{}
	l.Add(1_700_000_000_000, "alone", 0, []byte("-"), []byte("1"), protocol.ActionProduce, nil)
	return l
}

// TestDamageInTheOnlyCopyIsToldOnce: nobody could take over, so the partition
// goes on; a client that reads the damaged bytes over and over fills no log.
func TestDamageInTheOnlyCopyIsToldOnce(t *testing.T) {
	p := startLonePartition(t)
	for range 3 {
		p.env.system.Root.Send(p.pid, &damageFound{Err: &logfile.CorruptError{Path: "x", Err: errors.New("checksum")}})
	}
	req := &protocol.ProduceRequest{Lines: *oneLine(), Reply: protocol.NewFuture[protocol.ProduceResult]()}
	p.env.system.Root.Send(p.pid, req)
	res, ok := req.Reply.Wait(time.Now().Add(patience))
	require.True(t, ok)
	require.Nil(t, res.Err)
	told := await[*replicaDown](p)
	require.Equal(t, replica.FaultDamage, told.Fault)
	require.True(t, told.Running)
	for len(p.told) > 0 {
		_, again := (<-p.told).(*replicaDown)
		require.False(t, again)
	}
}

func TestARefusedProposalStopsThoseBehindIt(t *testing.T) {
	p := &partitionActor{}
	run := &coordinator.ProposalRun{}
	var got []*protocol.Error
	done := func(res protocol.ProduceResult) { got = append(got, res.Err) }
	p.proposeRecords(nil, &coordinator.ProposeRecords{Run: run, Done: done})
	require.True(t, run.Failed, "a partition without a replica refuses")
	p.life = partitionRunning
	p.rep = &replica.Replica{} // would be asked otherwise, and panic
	p.proposeRecords(nil, &coordinator.ProposeRecords{Run: run, Done: done})
	require.Equal(t, []*protocol.Error{protocol.ErrNotLeader, protocol.ErrNotLeader}, got)
}

// It may have been decided before others led, and arrive when this replica leads again.
func TestAProposalOfAnEarlierTermIsRefused(t *testing.T) {
	p := &partitionActor{life: partitionRunning, ref: &peers.LocalLeader{Leadership: &routing.Leadership{Term: 3}}}
	p.rep = &replica.Replica{} // would be asked otherwise, and panic
	run := &coordinator.ProposalRun{Term: 1}
	var got []*protocol.Error
	p.proposeRecords(nil, &coordinator.ProposeRecords{Run: run, Done: func(res protocol.ProduceResult) { got = append(got, res.Err) }})
	require.Equal(t, []*protocol.Error{protocol.ErrNotLeader}, got)
	require.True(t, run.Failed)
}

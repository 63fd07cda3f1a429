package actors

import (
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/peers"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// slowFS holds up the making of a replica's directory.
type slowFS struct {
	logfile.FS
	making chan struct{} // one per directory that is about to be made
	goOn   chan struct{} // closed to let them
}

func (f *slowFS) MkdirAll(name string, perm fs.FileMode) error {
	if strings.HasSuffix(name, "-0") {
		f.making <- struct{}{}
		<-f.goOn
	}
	return f.FS.MkdirAll(name, perm)
}

// brokerProbe is a broker's actor below a parent that collects what it is told.
type brokerProbe struct {
	t    *testing.T
	env  *environment
	pid  *actor.PID
	told chan any
}

func newBrokerProbe(t *testing.T, fsys logfile.FS) *brokerProbe {
	p := &brokerProbe{t: t, told: make(chan any, 100)}
	p.env = newEnvironment(Options{Logger: slog.New(slog.DiscardHandler), DataDir: t.TempDir()}.withDefaults(), nil)
	p.env.fs = fsys
	require.NoError(t, p.env.startDisk())
	t.Cleanup(p.env.stopDisk)
	dir := t.TempDir()
	require.NoError(t, datadir.CreateLedger(dir, "c", 1))
	started := make(chan *actor.PID, 1)
	up := p.env.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *actor.Started:
			b := &brokerActor{env: p.env, cluster: datadir.ClusterManifest{ID: "c"}, id: 1, parent: ctx.Self(), dir: dir, log: p.env.log, work: &sync.WaitGroup{}}
			started <- ctx.Spawn(actor.PropsFromProducer(func() actor.Actor { return b }))
		default:
			p.told <- m
		}
	}))
	t.Cleanup(func() { _ = p.env.system.Root.StopFuture(up).Wait() })
	p.pid = <-started
	p.send(&startBroker{Creating: true})
	return p
}

func (p *brokerProbe) send(m any) { p.env.system.Root.Send(p.pid, m) }

// upTo collects what the broker tells until it tells a T.
func upTo[T any](p *brokerProbe) (before []any, found T) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case m := <-p.told:
			if found, ok := m.(T); ok {
				return before, found
			}
			before = append(before, m)
		case <-deadline:
			p.t.Fatal("the broker does not answer")
		}
	}
}

func (p *brokerProbe) spec() partitionSpec {
	key := protocol.PartitionID{TopicID: "t"}
	group := peers.NewLinks("c", nil).Group(key)
	return partitionSpec{
		id:       logfile.Identity{ClusterID: "c", TopicID: "t", Topic: "slow", Broker: 1, ReplicaID: 1},
		founders: []uint64{1}, settings: catalog.TopicSettings{SegmentBytes: 1 << 20},
		route: routing.NewPartition(key, group, 1), group: group,
	}
}

// TestBrokerStopsAfterItsReplicasAreMade: else the next start would make, and
// open, them a second time.
func TestBrokerStopsAfterItsReplicasAreMade(t *testing.T) {
	slow := &slowFS{FS: logfile.OSFS{}, making: make(chan struct{}, 10), goOn: make(chan struct{})}
	p := newBrokerProbe(t, slow)
	p.send(&ensureReplicas{Specs: []partitionSpec{p.spec()}})
	<-slow.making
	p.send(&stopBroker{})
	p.send(&stopBroker{Ending: true}) // the process ends before the stop is through
	p.send(&topicDropped{TopicID: "echo"})
	before, _ := upTo[*topicDropped](p)
	for _, m := range before {
		require.NotEqual(t, &brokerClosed{Broker: 1}, m, "closed while a log is being made")
	}
	close(slow.goOn)
	upTo[*brokerClosed](p)
	p.send(&startBroker{Creating: true})
	p.send(&ensureReplicas{Specs: []partitionSpec{p.spec()}})
	upTo[*replicaUp](p)
	p.send(&stopBroker{Ending: true})
	before, _ = upTo[*brokerClosed](p)
	for _, m := range before {
		_, up := m.(*replicaUp)
		require.False(t, up, "opened twice")
	}
}

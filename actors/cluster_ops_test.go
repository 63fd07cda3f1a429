package actors

import (
	"log/slog"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/datadir"
	"ottla/actors/fleet"
	"ottla/actors/metarecord"
	"ottla/actors/peers"
	"ottla/actors/routing"
	"ottla/protocol"
)

// opsProbe is a cluster without brokers whose metadata leaders are mailboxes
// that the test reads.
type opsProbe struct {
	t       *testing.T
	env     *environment
	cluster *actor.PID
	now     time.Time // of the cluster; changed on its goroutine
}

func newOpsProbe(t *testing.T) *opsProbe {
	p := &opsProbe{t: t, now: time.Unix(1_700_000_000, 0)}
	m, _, err := datadir.Load(t.TempDir(), nil)
	require.NoError(t, err)
	p.env = newEnvironment(Options{Logger: slog.New(slog.DiscardHandler)}.withDefaults(), m)
	p.env.now = func() time.Time { return p.now }
	c := &clusterActor{env: p.env, log: p.env.log, handle: &clusterHandle{Cluster: &routing.Cluster{}}}
	c.handle.placed.Store(&fleet.Layout{})
	p.cluster = p.env.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor { return c }))
	t.Cleanup(func() { p.env.system.Root.Stop(p.cluster) })
	p.inspect(func(c *clusterActor) { c.recovered = true })
	return p
}

// inspect runs do on the cluster's goroutine, after everything sent before.
func (p *opsProbe) inspect(do func(*clusterActor)) {
	p.t.Helper()
	done := protocol.NewFuture[bool]()
	p.env.system.Root.Send(p.cluster, &inspectCluster{Do: func(c *clusterActor) { do(c); done.Put(true) }})
	_, ok := done.Wait(time.Now().Add(patience))
	require.True(p.t, ok, "the cluster does not answer")
}

// commit answers a proposal as if its records were committed, and applied here.
func (p *opsProbe) commit(m *routing.ChangeMetadata) {
	m.Reply.Put(protocol.ProduceResult{BaseOffset: protocol.Offset(-m.Lines.Len())})
}

// Leader is published as the metadata's leader; what is proposed to it comes
// out of the channel.
func (p *opsProbe) leader(term uint64) <-chan *routing.ChangeMetadata {
	proposals := make(chan *routing.ChangeMetadata, 10)
	pid := p.env.system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
		if m, ok := ctx.Message().(*routing.ChangeMetadata); ok {
			proposals <- m
		}
	}))
	p.t.Cleanup(func() { p.env.system.Root.Stop(pid) })
	p.inspect(func(c *clusterActor) {
		c.metaRoute.Set(new(peers.Group).NewLocalLeader(p.env.system.Root, pid, 1, term).Leadership)
	})
	return proposals
}

func (p *opsProbe) led(term uint64) {
	p.env.system.Root.Send(p.cluster, &partitionLed{Key: catalog.MetadataPartition(), Term: term})
}

// enqueue asks for an operation; decided counts how often it was decided.
func (p *opsProbe) enqueue(deadline time.Time, decided *int) protocol.Future[*protocol.Error] {
	done := protocol.NewFuture[*protocol.Error]()
	p.env.system.Root.Send(p.cluster, &metadataOp{
		decide: func(*catalog.State) ([]metarecord.Record, *protocol.Error) {
			*decided++
			return []metarecord.Record{{Action: "X", Key: []byte(`["x"]`)}}, nil
		},
		done: done.Put, deadline: deadline,
	})
	return done
}

func (p *opsProbe) answer(f protocol.Future[*protocol.Error]) *protocol.Error {
	p.t.Helper()
	err, ok := f.Wait(time.Now().Add(patience))
	require.True(p.t, ok, "the operation was not answered")
	return err
}

func TestMetadataOperationOutlivesADeadLeader(t *testing.T) {
	p := newOpsProbe(t)
	var decided int
	first := p.leader(1)
	p.led(1)
	lost := p.enqueue(p.now.Add(time.Hour), &decided)
	<-first // and never answered: its mailbox went with its actor
	next := p.enqueue(p.now.Add(time.Hour), &decided)
	second := p.leader(2)
	p.led(2)
	err := p.answer(lost)
	require.NotNil(t, err)
	require.Equal(t, protocol.OutcomeUnknown, err.Outcome)
	p.commit(<-second)
	require.Nil(t, p.answer(next), "the one behind it goes on")
}

func TestMetadataIsDecidedOnAllThatItsLeaderHasApplied(t *testing.T) {
	p := newOpsProbe(t)
	var decided int
	p.led(1)
	proposals := p.leader(2) // published, but what it applied is still in the cluster's mailbox
	done := p.enqueue(p.now.Add(time.Hour), &decided)
	p.inspect(func(*clusterActor) { require.Zero(t, decided, "decided on a state that is behind") })
	p.led(2)
	p.commit(<-proposals)
	require.Nil(t, p.answer(done))
	require.Equal(t, 1, decided)
}

func TestOverdueMetadataOperationsEndBehindOneThatWaits(t *testing.T) {
	p := newOpsProbe(t)
	var decided int
	p.enqueue(time.Time{}, &decided) // for ever
	done := p.enqueue(p.now.Add(time.Second), &decided)
	p.inspect(func(c *clusterActor) { p.now = p.now.Add(time.Minute) })
	err := p.answer(done)
	require.NotNil(t, err)
	require.Equal(t, protocol.OutcomeNone, err.Outcome)
	require.Equal(t, protocol.CodeNotEnoughReplicas, err.Code)
	p.inspect(func(c *clusterActor) { require.Len(t, c.ops, 1) })
}

// Who changes topics does not wait for metadata that has lost its majority,
// but does while another leader may be elected.
func TestMetadataOperationsDoNotWaitInVain(t *testing.T) {
	p := newOpsProbe(t)
	var decided int
	lost := func(ago time.Duration, replicas int) {
		p.inspect(func(c *clusterActor) {
			c.metaRoute = routing.NewPartition(catalog.MetadataPartition(), noReplicas{}, replicas)
			c.metaRoute.SetLost(time.Now().Add(-ago))
		})
	}
	kept := p.enqueue(time.Time{}, &decided)
	for name, at := range map[string]struct {
		ago      time.Duration
		replicas int // of which none runs; 0: enough do
	}{"no majority": {2 * time.Second, 3}, "no leader for long": {2 * routing.FailoverPatience, 0}} {
		lost(at.ago, at.replicas)
		err := p.answer(p.enqueue(p.now.Add(time.Hour), &decided))
		require.NotNil(t, err, name)
		require.Equal(t, protocol.OutcomeNone, err.Outcome)
		require.Equal(t, protocol.CodeNotEnoughReplicas, err.Code)
	}
	lost(0, 0)
	p.inspect(func(c *clusterActor) { c.metaRoute.SetLost(time.Now().Add(time.Hour)) }) // however slow this is
	waits := p.enqueue(p.now.Add(time.Hour), &decided)
	p.inspect(func(c *clusterActor) { require.Len(t, c.ops, 2) })
	proposals := p.leader(2)
	p.led(2)
	p.commit(<-proposals)
	require.Nil(t, p.answer(kept))
	p.commit(<-proposals)
	require.Nil(t, p.answer(waits))
}

// noReplicas is a partition of which no replica runs.
type noReplicas struct{}

func (noReplicas) Running() int { return 0 }

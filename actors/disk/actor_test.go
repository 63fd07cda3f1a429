package disk

import (
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

const patience = time.Minute // how long a test waits for what must happen: far longer than a busy machine takes

// receive returns the next value, or fails the test.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// diskRig is a Disk with probes for replicas.
type diskRig struct {
	t      *testing.T
	system *actor.ActorSystem
	pid    *actor.PID
	syncer *gatedSyncer
	timers *manualTimers
	stats  *Stats
	clock  atomic.Int64
	stalls chan Stalled
	tick   *manualTimer // the first one
}

func newDiskRig(t *testing.T) *diskRig {
	quiet := slog.New(slog.DiscardHandler)
	r := &diskRig{
		t: t, syncer: newGatedSyncer(), timers: newManualTimers(), stats: &Stats{}, stalls: make(chan Stalled, 10),
		system: actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet })),
	}
	pid, err := Spawn(r.system.Root, "disk", Options{
		Logger: quiet, Stats: r.stats, Stalled: func(s Stalled) { r.stalls <- s },
		now: func() time.Duration { return time.Duration(r.clock.Load()) }, after: r.timers.after, syncer: r.syncer,
	})
	require.NoError(t, err)
	r.pid, r.tick = pid, receive(t, r.timers.armed)
	t.Cleanup(r.system.Shutdown)
	return r
}

// probe is an actor that stands for a replica: it passes on the answers it gets.
type probe struct {
	pid *actor.PID
	got chan any
}

func (r *diskRig) probe(name string) *probe {
	p := &probe{got: make(chan any, 1000)}
	var err error
	p.pid, err = r.system.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		switch m := ctx.Message().(type) {
		case *Done, *Failed:
			p.got <- m
		}
	}), name)
	require.NoError(r.t, err)
	return p
}

func (r *diskRig) send(p *probe, seq uint64, change ...func(*Write)) {
	w := write(p.pid.Id, seq, change...)
	w.From = p.pid
	r.system.Root.Send(r.pid, w)
}

// flushMailbox returns when Disk has handled everything sent before.
func (r *diskRig) flushMailbox() {
	r.t.Helper()
	_, err := r.system.Root.RequestFuture(r.pid, &askStats{}, patience).Result()
	require.NoError(r.t, err)
}

// expect waits for the answers to seqs, in that order, and returns the errors.
func (p *probe) expect(t *testing.T, seqs ...uint64) (errs []error) {
	t.Helper()
	for _, seq := range seqs {
		done, ok := receive(t, p.got).(*Done)
		require.True(t, ok)
		require.Equal(t, seq, done.Seq)
		errs = append(errs, done.Err)
	}
	return errs
}

func TestDiskGathersWhileARoundRuns(t *testing.T) {
	r := newDiskRig(t)
	a, b := r.probe("a"), r.probe("b")
	fa, fb := &fakeFile{name: "a"}, &fakeFile{name: "b"}

	r.send(a, 1, batch(writeTo(1, fa)))
	assert.Len(t, receive(t, r.syncer.entered), 1)
	for seq := uint64(2); seq <= 20; seq++ {
		r.send(a, seq, batch(writeTo(1, fa)))
		r.send(b, seq, batch(writeTo(1, fb)))
	}
	assert.Empty(t, a.got, "no answer before the sync is through")
	r.flushMailbox() // all of them are queued
	r.syncer.leave <- struct{}{}
	assert.Equal(t, []error{nil}, a.expect(t, 1))
	assert.Len(t, receive(t, r.syncer.entered), 2, "one sync for both files, once each")
	r.syncer.leave <- struct{}{}
	for seq := uint64(2); seq <= 20; seq++ {
		assert.Equal(t, []error{nil}, a.expect(t, seq))
		assert.Equal(t, []error{nil}, b.expect(t, seq))
	}
	r.flushMailbox()
	got := r.stats.snapshot()
	assert.Equal(t, uint64(2), got.Rounds)
	assert.Equal(t, uint64(39), got.Bytes)
	assert.Equal(t, uint64(3), got.Files)
}

func TestDiskSiblingsShareASync(t *testing.T) {
	r := newDiskRig(t)
	l, f, g := r.probe("l"), r.probe("f"), r.probe("g")
	r.send(l, 1, index(7), siblings(2))
	timer := receive(t, r.timers.armed)
	assert.Equal(t, 100*us, timer.d)
	r.send(f, 1, index(7))
	r.send(g, 1, index(7))
	assert.Len(t, receive(t, r.syncer.entered), 3)
	assert.True(t, r.timers.wasStopped(timer))
	timer.fire() // it was too late to stop it: it does nothing
	r.syncer.leave <- struct{}{}
	for _, p := range []*probe{l, f, g} {
		assert.Equal(t, []error{nil}, p.expect(t, 1))
	}
	assert.Equal(t, uint64(1), r.stats.snapshot().Rounds)
}

func TestDiskGoesOnWithoutSiblings(t *testing.T) {
	r := newDiskRig(t)
	l := r.probe("l")
	r.send(l, 1, index(7), siblings(2))
	timer := receive(t, r.timers.armed)
	r.clock.Add(int64(50 * us))
	timer.fire() // early: the rest of the time is waited for
	rest := receive(t, r.timers.armed)
	assert.Equal(t, 50*us, rest.d)
	r.clock.Add(int64(50 * us))
	rest.fire()
	assert.Len(t, receive(t, r.syncer.entered), 1)
	r.syncer.leave <- struct{}{}
	assert.Equal(t, []error{nil}, l.expect(t, 1))
}

func TestDiskFailures(t *testing.T) {
	r := newDiskRig(t)
	go func() {
		for range r.syncer.entered {
			r.syncer.leave <- struct{}{}
		}
	}()
	full, broken, fine := r.probe("full"), r.probe("broken"), r.probe("fine")
	var noSpace error = syscall.ENOSPC
	r.send(full, 1, batch(failing(&noSpace, &fakeFile{})))
	r.send(broken, 1, batch(writeTo(1, &fakeFile{fail: syscall.EIO})))
	r.send(fine, 1)

	err := full.expect(t, 1)[0]
	require.ErrorIs(t, err, syscall.ENOSPC)
	assert.True(t, Retriable(err))
	err = broken.expect(t, 1)[0]
	require.ErrorIs(t, err, syscall.EIO)
	assert.False(t, Retriable(err))
	assert.NoError(t, fine.expect(t, 1)[0])

	r.send(broken, 2)
	assert.Error(t, broken.expect(t, 2)[0])
	r.send(fine, 2)
	assert.NoError(t, fine.expect(t, 2)[0])
	assert.NotZero(t, r.stats.snapshot().Failures)
	assert.NotEmpty(t, r.stats.snapshot().LastError)
}

// A topic that is deleted closes its logs while writes to them are queued. They
// fail, but a disk that is well must not be reported.
func TestDiskFailuresOfClosedLogsAreNotTheDisks(t *testing.T) {
	r := newDiskRig(t)
	go func() {
		for range r.syncer.entered {
			r.syncer.leave <- struct{}{}
		}
	}()
	deleted := r.probe("deleted")
	closed := logfile.ErrClosed
	r.send(deleted, 1, batch(failing(&closed, &fakeFile{})))
	require.ErrorIs(t, deleted.expect(t, 1)[0], logfile.ErrClosed)
	r.flushMailbox()
	assert.Zero(t, r.stats.snapshot().Failures)
	assert.Empty(t, r.stats.snapshot().LastError)
}

func TestDiskReportsAStalledRound(t *testing.T) {
	r := newDiskRig(t)
	a := r.probe("a")
	r.send(a, 1)
	receive(t, r.syncer.entered)
	r.clock.Add(int64(9 * time.Second))
	r.tick.fire()
	second := receive(t, r.timers.armed)
	r.clock.Add(int64(2 * time.Second))
	second.fire()
	stalled := receive(t, r.stalls)
	assert.False(t, stalled.Over)
	assert.Equal(t, 11*time.Second, stalled.For)
	assert.Equal(t, []*actor.PID{a.pid}, stalled.Froms)
	receive(t, r.timers.armed).fire() // it is reported once
	r.syncer.leave <- struct{}{}
	assert.True(t, receive(t, r.stalls).Over)
	assert.Equal(t, []error{nil}, a.expect(t, 1))
	assert.Equal(t, uint64(1), r.stats.snapshot().Stalls)
}

func TestDiskBackgroundSync(t *testing.T) {
	r := newDiskRig(t)
	a, f := r.probe("a"), &fakeFile{}
	r.send(a, 1, noSync, batch(writeTo(1, f)))
	assert.Equal(t, []error{nil}, a.expect(t, 1))
	r.tick.fire()
	assert.Equal(t, []syncTarget{{file: f, alone: true}}, receive(t, r.syncer.entered))
	f.failWith(syscall.EIO)
	r.syncer.leave <- struct{}{}
	failed, ok := receive(t, a.got).(*Failed)
	require.True(t, ok)
	assert.ErrorIs(t, failed.Err, syscall.EIO)
}

func TestDiskStopAnswersEverything(t *testing.T) {
	r := newDiskRig(t)
	a, b := r.probe("a"), r.probe("b")
	r.send(a, 1)
	receive(t, r.syncer.entered)
	r.send(a, 2)
	r.send(b, 1)
	r.flushMailbox()
	stopped := r.system.Root.StopFuture(r.pid)
	r.syncer.leave <- struct{}{}
	require.NoError(t, stopped.Wait())
	assert.NoError(t, a.expect(t, 1)[0])
	assert.ErrorIs(t, a.expect(t, 2)[0], ErrStopped)
	assert.ErrorIs(t, b.expect(t, 1)[0], ErrStopped)
	receive(t, r.syncer.closed)
}

func TestDiskStopLeavesAHangingRoundBehind(t *testing.T) {
	r := newDiskRig(t)
	a := r.probe("a")
	r.send(a, 1)
	receive(t, r.syncer.entered)
	stopped := r.system.Root.StopFuture(r.pid)
	giveUp := receive(t, r.timers.armed)
	assert.Equal(t, 10*time.Second, giveUp.d)
	giveUp.fire()
	require.NoError(t, stopped.Wait())
	err := a.expect(t, 1)[0]
	require.ErrorIs(t, err, ErrStopped)
	assert.False(t, Retriable(err))
	r.syncer.leave <- struct{}{}
}

func TestDiskPoisonDoesWhatWasSentBefore(t *testing.T) {
	r := newDiskRig(t)
	a := r.probe("a")
	r.send(a, 1)
	poisoned := r.system.Root.PoisonFuture(r.pid)
	receive(t, r.syncer.entered)
	r.syncer.leave <- struct{}{}
	require.NoError(t, poisoned.Wait())
	assert.NoError(t, a.expect(t, 1)[0])
}

// A panic of the actor loses its queue. A write behind one that was lost that way
// would leave a hole in its file.
func TestDiskRefusesAllAfterItsOwnFailure(t *testing.T) {
	r := newDiskRig(t)
	a := r.probe("a")
	r.system.Root.Send(r.pid, &Write{}) // no From: a broken invariant of the sender
	r.send(a, 1)
	assert.ErrorIs(t, a.expect(t, 1)[0], ErrStopped)
}

// A failed replica's next incarnation is not blocked by the failure of the last.
func TestDiskForgetsStoppedReplicas(t *testing.T) {
	r := newDiskRig(t)
	a := r.probe("a")
	r.send(a, 1, batch(writeTo(1, &fakeFile{fail: syscall.EIO})))
	receive(t, r.syncer.entered)
	r.syncer.leave <- struct{}{}
	require.Error(t, a.expect(t, 1)[0])
	require.NoError(t, r.system.Root.StopFuture(a.pid).Wait())

	again := r.probe("a")
	deadline := time.Now().Add(patience)
	for seq := uint64(1); ; seq++ { // until Disk has heard of the stop
		r.send(again, seq, batch(nil))
		if again.expect(t, seq)[0] == nil {
			return
		}
		require.True(t, time.Now().Before(deadline), "still blocked")
	}
}

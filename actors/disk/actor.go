package disk

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// diskActor serves one filesystem: it executes the batches of all replicas on it
// and makes them durable, as many as possible by one sync. While a round of
// that runs on the worker goroutine, the mailbox fills the queue with the next
// (see queue, the pure core, and round, the work). Receive never waits
// for a file, except in Stopping, which lets the running round end.
//
// States: idle (nothing queued), waiting (for siblings, some microseconds), running (a round
// is with the worker).
//
// It is the only one who makes rounds, and hands them to the worker one at a time, so queue
// and running need no lock. All that the worker says comes back through finished.
type diskActor struct {
	opt    Options
	queue  *queue
	broken *bool // an earlier instance panicked: what it had queued is lost, so nothing may follow it

	self     *actor.PID
	root     *actor.RootContext
	work     chan *round // to the worker; closed to end it
	finished chan *round // back from it
	running  runningRound
	wait     waitTimer
	stopTick func()
}

// runningRound is the round that is with the worker; zero when none is.
type runningRound struct {
	*round
	began   time.Duration
	stalled bool // it has been reported
	slow    bool // likewise
}

// waitTimer is the timer that ends the wait for siblings.
type waitTimer struct {
	no      uint64 // of the last timer: one that was stopped may have fired already
	waiting bool   // the last timer is under way
	stop    func()
}

// Options configures a Disk. Zero values mean the defaults named.
type Options struct {
	Dir          string                              // any directory of the filesystem, open while Disk lives
	SiblingWait  time.Duration                       // longest wait for siblings, 100 us
	OpenLogs     int                                 // written to between two syncs at most; 0: any number
	SyncInterval time.Duration                       // between background syncs of NoSync writes, 1 s; stalls are noticed as often
	StallAfter   time.Duration                       // a round longer than that is reported, 10 s
	Stalled      func(Stalled)                       // called on the actor's goroutine: it must not block
	Slow         func(took time.Duration, over bool) // called likewise: a round takes longer than a second, or did; none
	Failed       func(error)                         // called once the actor has panicked; it refuses everything from then on
	Reserve      *Reserve                            // of the filesystem, which is looked at after each round; nil: none
	BeforeSync   func()                              // called on the worker before each sync, which it may hold up; none
	Logger       *slog.Logger
	Stats        *Stats
	Dispatcher   actor.Dispatcher // runs the mailbox; the library's default

	// For tests of this package: time, timers and the way of syncing.
	now    func() time.Duration
	after  func(d time.Duration, f func()) (stop func())
	syncer syncer
}

func (o Options) withDefaults() Options {
	if o.SiblingWait == 0 {
		o.SiblingWait = 100 * time.Microsecond
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Second
	}
	if o.StallAfter == 0 {
		o.StallAfter = 10 * time.Second
	}
	if o.Stalled == nil {
		o.Stalled = func(Stalled) {}
	}
	if o.Slow == nil {
		o.Slow = func(time.Duration, bool) {}
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Stats == nil {
		o.Stats = &Stats{}
	}
	if o.Dispatcher == nil {
		o.Dispatcher = actor.NewDefaultDispatcher(defaultThroughput)
	}
	if o.now == nil {
		start := time.Now()
		o.now = func() time.Duration { return time.Since(start) }
	}
	if o.after == nil {
		o.after = func(d time.Duration, f func()) func() {
			t := time.AfterFunc(d, f)
			return func() { t.Stop() }
		}
	}
	return o
}

// defaultThroughput is how many messages Disk handles in a row before it lets
// other actors run on the default dispatcher.
const defaultThroughput = 300

// guardian supervises Disk, which has no parent: after a panic the actor is
// started again only to refuse whatever comes (see diskActor.broken).
type guardian struct{ failed func(error) }

// HandleFailure implements actor.SupervisorStrategy.
func (g *guardian) HandleFailure(_ *actor.ActorSystem, s actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	g.failed(fmt.Errorf("the disk actor panicked: %v", reason))
	s.RestartChildren(child)
}

// Messages to itself.
type (
	roundEnded struct{}
	waitOver   struct{ no uint64 } // waitTimer.no
	tick       struct{}
	askStats   struct{} // answered with counts
)

// Spawn starts the Disk for the filesystem of opt.Dir; its messages are those of
// messages.go. End it by Poison, after the replicas: then everything sent before
// is still done, whereas Stop fails what is queued. Errors: the directory cannot
// be opened, or the name is taken.
func Spawn(root *actor.RootContext, name string, opt Options) (*actor.PID, error) {
	opt = opt.withDefaults()
	if opt.syncer == nil {
		s, err := newSyncer(opt.Dir, opt.Stats)
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", name, err)
		}
		opt.syncer = s
	}
	if opt.BeforeSync != nil {
		opt.syncer = &hookedSyncer{syncer: opt.syncer, before: opt.BeforeSync}
	}
	broken := false // only the actor itself touches it, one instance after the other
	props := actor.PropsFromProducer(func() actor.Actor { return &diskActor{opt: opt, broken: &broken} },
		actor.WithDispatcher(opt.Dispatcher), actor.WithGuardian(&guardian{failed: opt.Failed}))
	pid, err := root.SpawnNamed(props, name)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", name, err)
	}
	return pid, nil
}

// Receive implements actor.Actor.
func (d *diskActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		d.start(ctx)
	case *Write:
		d.write(ctx, m)
	case *roundEnded:
		d.roundEnded()
	case *waitOver:
		d.waitOver(m)
	case *tick:
		d.tick()
	case *askStats:
		ctx.Respond(d.opt.Stats.snapshot())
	case *actor.Terminated:
		d.queue.forget(m.Who)
	case *actor.Restarting:
		*d.broken = true
		d.stop()
	case *actor.Stopping:
		d.stop()
		d.release()
	case *actor.Stopped:
	default:
		d.opt.Logger.Error("BUG: disk got an unknown message", "type", fmt.Sprintf("%T", m))
	}
}

func (d *diskActor) start(ctx actor.Context) {
	d.self, d.root = ctx.Self(), ctx.ActorSystem().Root
	d.queue = newQueue(d.opt.SiblingWait)
	d.queue.mostLanes = d.opt.OpenLogs
	d.work, d.finished = make(chan *round, 1), make(chan *round, 1)
	go d.worker(d.work, d.finished)
	d.armTick()
}

// worker runs one round after the other. The result goes through a channel,
// so that it can be had in Stopping, and a message announces it.
func (d *diskActor) worker(work <-chan *round, finished chan<- *round) {
	for r := range work {
		r.run(d.opt.syncer)
		d.opt.Reserve.look()
		finished <- r
		d.root.Send(d.self, &roundEnded{})
	}
}

func (d *diskActor) write(ctx actor.Context, w *Write) {
	// What was queued at the panic is lost and unanswered, and batches may have been
	// executed in part. Nothing may follow it on the disk: the process ends, and recovery
	// sorts it out.
	if *d.broken {
		d.answer(laneAnswer{to: w.From, done: Done{Seq: w.Seq, Err: ErrStopped}})
		return
	}
	refused, isNew := d.queue.push(w, d.opt.now())
	if isNew {
		ctx.Watch(w.From)
	}
	if refused != nil {
		d.answer(*refused)
		return
	}
	d.proceed()
}

// proceed starts the next round if there is one to start.
func (d *diskActor) proceed() {
	now := d.opt.now()
	r, wait := d.queue.next(now)
	switch {
	case r != nil:
		d.endWait()
		d.running = runningRound{round: r, began: now}
		d.work <- r // never blocks: there is one round at a time
	case wait > 0 && !d.wait.waiting:
		over := &waitOver{no: d.wait.no + 1}
		d.wait = waitTimer{no: over.no, waiting: true, stop: d.opt.after(wait, func() { d.root.Send(d.self, over) })}
	}
}

func (d *diskActor) endWait() {
	if d.wait.waiting {
		d.wait.waiting = false
		d.wait.stop()
	}
}

func (d *diskActor) waitOver(m *waitOver) {
	if d.wait.waiting && m.no == d.wait.no {
		d.wait.waiting = false
		d.proceed()
	}
}

// roundEnded starts the next round before it hands out the answers, so that the
// disk does not wait for actors.
func (d *diskActor) roundEnded() {
	if d.running.round == nil {
		return // stop has had its result already
	}
	// It is there: the worker puts it in before it sends the message.
	answers := d.endRound(<-d.finished)
	d.proceed()
	d.answer(answers...)
}

// endRound takes a round back. Whoever was told that it hangs is told that it does not any
// more.
func (d *diskActor) endRound(r *round) []laneAnswer {
	took := d.opt.now() - d.running.began
	d.opt.Stats.round(r, took)
	if r.err != nil {
		d.opt.Logger.Error("disk round failed", "dir", d.opt.Dir, "error", r.err)
	}
	if d.running.stalled {
		d.opt.Stalled(Stalled{Dir: d.opt.Dir, For: took, Froms: r.froms(), Over: true})
	}
	if d.running.slow {
		d.opt.Slow(took, true)
	}
	d.running = runningRound{}
	return d.queue.finish(r)
}

func (d *diskActor) answer(answers ...laneAnswer) {
	for i := range answers {
		a := &answers[i]
		if a.failed {
			d.root.Send(a.to, &Failed{Err: a.done.Err})
			continue
		}
		d.root.Send(a.to, &a.done)
	}
}

func (d *diskActor) armTick() {
	d.stopTick = d.opt.after(d.opt.SyncInterval, func() { d.root.Send(d.self, &tick{}) })
}

// tick makes unsynced files due for a background sync, and reports the running
// round if it hangs.
func (d *diskActor) tick() {
	d.armTick()
	d.queue.flush()
	took := d.opt.now() - d.running.began
	if d.running.round != nil && !d.running.slow && took > slowAfter {
		d.running.slow = true
		d.opt.Slow(took, false)
	}
	if d.running.round != nil && !d.running.stalled && took > d.opt.StallAfter {
		d.running.stalled = true
		d.opt.Stats.stalls.Add(1)
		d.opt.Logger.Error("disk round hangs", "dir", d.opt.Dir, "for", took)
		d.opt.Stalled(Stalled{Dir: d.opt.Dir, For: took, Froms: d.running.froms()})
	}
	d.proceed()
}

// stop fails what is queued, and waits for the running round, so that nobody
// closes a file under it. A round that hangs is left behind. Its writes fail as if
// their sync had failed: nobody knows what of them will be on disk.
func (d *diskActor) stop() {
	d.endWait()
	d.stopTick()
	queued := d.queue.failAll(ErrStopped)
	if d.running.round != nil {
		gaveUp := make(chan struct{})
		stopTimer := d.opt.after(d.opt.StallAfter, func() { close(gaveUp) })
		select {
		case r := <-d.finished:
			d.answer(d.endRound(r)...)
		case <-gaveUp:
			d.answer(d.running.abandon()...)
		}
		stopTimer()
	}
	close(d.work)
	d.answer(queued...)
}

// release closes the syncer, unless a round left behind still uses it.
func (d *diskActor) release() {
	if d.running.round != nil {
		return
	}
	if err := d.opt.syncer.Close(); err != nil {
		d.opt.Logger.Error("close filesystem", "dir", d.opt.Dir, "error", err)
	}
}

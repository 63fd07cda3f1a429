package actors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/background"
	"ottla/actors/catalog"
	"ottla/actors/clock"
	"ottla/actors/coordinator"
	"ottla/actors/datadir"
	"ottla/actors/disk"
	"ottla/actors/fleet"
	"ottla/actors/forced"
	"ottla/actors/front"
	"ottla/actors/remedy"
	"ottla/actors/replica"
	"ottla/actors/routing"
	"ottla/actors/supervise"
	"ottla/logfile"
	"ottla/protocol"
)

// Node is a running broker process: all its clusters, and the Front that answers for them.
// Clients' goroutines use the Front alone, and reach everything behind it by messages, so a
// Node is safe for concurrent use.
type Node struct {
	*front.Front
	env      *environment
	pid      *actor.PID
	release  func()        // of the data directory's lock
	stopped  chan struct{} // closed when Shutdown begins
	stopOnce sync.Once
}

// Start opens the data directory, locks it, and starts every cluster in it; at
// first start it creates the default one. It returns when that is under way:
// Readiness tells when partitions have leaders. A cluster that has lost too
// many directories is held back while others start. Errors: another process
// has the directory, a manifest is damaged or newer than this program, no
// cluster can be started.
//
// The lock comes before anything is read or written: a second process would recover the
// same logs, cut their tails, and vote under the same ids. Other nodes may not be there for
// as long as anybody likes, so Start does not wait for them: /readyz says what it waits for.
func Start(ctx context.Context, o Options) (*Node, error) {
	o = o.withDefaults()
	if o.DataDir == "" {
		return nil, errors.New("start: no data directory given")
	}
	// Absolute and clean, because paths below it are recognized by comparison.
	var err error
	if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if err := os.MkdirAll(o.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	release, err := datadir.Lock(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	there, err := os.Stat(o.DataDir)
	if err != nil {
		release()
		return nil, fmt.Errorf("start: %w", err)
	}
	m, places, err := datadir.Load(o.DataDir, forced.HasMetadataQuorum)
	if err != nil {
		release()
		return nil, fmt.Errorf("start: %w", err)
	}
	n := &Node{env: newEnvironment(o, m), release: release}
	n.stopped = n.env.stopped
	n.Front = front.New(front.Options{
		RequestTimeout: o.RequestTimeout, SessionTimeout: o.SessionTimeout, AutoCreateTopics: o.AutoCreateTopics, Now: o.now, Millis: n.env.clock.Agreed, Logger: o.Logger,
		Limits: catalog.TopicLimits{
			SegmentBytes: o.SegmentBytes, MaxRecordBytes: o.MaxRecordBytes, Room: catalog.Room{Replicas: o.MaxReplicas},
		},
		AutoCreatesPerMinute: o.AutoCreatesPerMinute, OffsetsPartitions: o.OffsetsPartitions,
		MaxTokens: o.MaxTokens, MaxSources: o.MaxSources, MaxSubscriptions: o.MaxSubscriptions,
	}, n.env.directory, &frontHost{fleet.Host{Of: func() *fleet.Fleet { return n.env.fleet }, Clusters: n.env.directory.Clusters}, n})
	n.env.groups.Feed = n.FeedQueue
	if err := n.env.startDisk(); err != nil {
		release()
		return nil, fmt.Errorf("start: %w", err)
	}
	go n.KeepRates()
	go datadir.Watch(o.DataDir, there, n.stopped, n.env.fail)
	find, err := n.env.openLink(len(m.List()) == 0)
	if err != nil {
		n.env.stopDisk()
		n.env.closeLink()
		n.env.system.Shutdown()
		release()
		return nil, fmt.Errorf("start: %w", err)
	}
	opened := make(chan error, 1)
	n.pid = n.env.system.Root.Spawn(supervise.Props(o.Logger, func() actor.Actor {
		return &nodeActor{
			env: n.env, known: places, opened: opened, handles: map[string]*clusterHandle{},
			unplacing: map[string]bool{}, located: map[*clusterHandle]*catalog.PlacedCluster{}, creating: map[string]*pendingCluster{}, ending: map[string]bool{}, removing: map[*clusterHandle]chan struct{}{}, pauses: map[*clusterHandle]*remedy.Backoff{},
		}
	}, actor.WithGuardian(&supervise.Root{Failed: n.env.fail})))
	n.env.node.Store(n.pid)
	if find != nil {
		go find()
	}
	// From here on a cluster that exists is "starting", never "not found".
	if err := <-opened; err != nil {
		return nil, errors.Join(fmt.Errorf("start: %w", err), n.Shutdown(ctx))
	}
	return n, nil
}

// sealedFiles are kept open, and recentBytes of the ends of logs kept in memory.
const sealedFiles, recentBytes = 64, 16 << 20

func newEnvironment(o Options, m *datadir.Manifests) *environment {
	log := o.Logger
	system := actor.NewActorSystem(
		actor.WithLoggerFactory(supervise.QuietLogger(log)),
		actor.WithDeadLetterRequestLogging(false),
	)
	supervise.RefuseDeadLetters(system)
	stopped := make(chan struct{})
	env := &environment{
		failed: make(chan error, 1), stopped: stopped, space: disk.WatchReserve(o.DataDir, stopped),
		opt: o, log: log, system: system, fs: logfile.OSFS{}, handles: logfile.NewHandleCache(sealedFiles, o.OpenLogs), recent: logfile.NewRecent(recentBytes),
		bootID: logfile.BootID(), now: o.now, steady: clock.Steady(o.now), clock: wallClock(&o), manifests: m, directory: routing.NewDirectory(), background: background.NewBudget(), keys: replica.NewKeyBudget(int64(o.MaxIdempotencyKeys)), scrubber: background.NewScrubber(o.ScrubBytesPerSecond, time.Now),
		catchUp: background.NewCatchUp(o.CatchUpBytesPerSecond, time.Now),
	}
	go background.CloseIdleLogs(env.handles, stopped)
	env.fitness = disk.WatchFitness(env.space, stopped, env.fitnessChanged)
	env.groups = &coordinator.Env{
		System: system, Now: o.now, Wall: env.clock.Millis, Agreed: env.clock.Agreed, Steady: env.steady, Ticks: env.ticks, Seal: env.seal, Level: func() int { return env.fleet.Level() },
		MaxGroups: o.MaxGroups, OffsetsRetention: o.OffsetsRetention, Kept: env.directory.Subscribed,
	}
	return env
}

// Shutdown ends the node: waiting requests are answered, logs closed with a checkpoint, the
// data directory unlocked. Only the first call does anything. Errors: a log cannot be closed,
// ctx ends before all is closed.
//
// Clusters end first, while disk and link still serve them: their last writes, and leaders
// that hand over to other nodes, need both. The lock is released last, when nothing of this
// process can touch the directory any more. Where ctx ends before, the rest is torn down all
// the same: the next start recovers as after a crash.
func (n *Node) Shutdown(ctx context.Context) error {
	var err error
	n.stopOnce.Do(func() {
		close(n.stopped)
		reply := protocol.NewFuture[error]()
		n.env.system.Root.Send(n.pid, &endNode{Reply: reply})
		select {
		case err = <-reply.C():
		case <-ctx.Done():
			err = fmt.Errorf("shutdown: %w", ctx.Err())
		}
		n.env.closeLink()
		n.env.stopDisk()
		n.env.system.Shutdown()
		n.release()
	})
	return err
}

// nodeActor creates and deletes clusters, one change at a time. It alone changes which
// clusters there are; everybody else reads the copy in the directory. It must never wait for a
// cluster: those ask it for changes, and in a fleet what it would wait for comes through its
// own mailbox.
type nodeActor struct {
	supervise.Children // of clusters
	env                *environment
	handles            map[string]*clusterHandle // by name; the directory has the same clusters
	known              []datadir.ClusterPlaces
	opened             chan error // gets one value once every known cluster can be looked up
	creating           map[string]*pendingCluster
	located            map[*clusterHandle]*catalog.PlacedCluster // of a fleet, as last seen
	members            *fleet.View                               // the nodes of the fleet until its metadata is here
	written            []datadir.Founder                         // of members.json
	unplacing          map[string]bool                           // ids of deleted clusters of a fleet whose files were removed here
	ending             map[string]bool                           // clusters that were told to end, by PID
	removing           map[*clusterHandle]chan struct{}          // clusters that end in order to be removed; closed once they have ended
	over               bool                                      // the process ends: nothing is made or removed any more
	pauses             map[*clusterHandle]*remedy.Backoff
}

// pendingCluster is a cluster whose creation is under way, and who waits.
type pendingCluster struct {
	handle   *clusterHandle
	settings catalog.ClusterSettings
	replies  []protocol.Future[clusterCreation]
}

// clusterCreation answers a creation; Created is false for one that was there.
type clusterCreation struct {
	Cluster *routing.Cluster
	Created bool
	Err     *protocol.Error
}

// Private messages of the node actor.
type (
	createCluster struct {
		Spec  *protocol.ClusterSpec
		Reply protocol.Future[clusterCreation]
	}
	deleteCluster struct {
		Name  string
		Reply protocol.Future[*protocol.Error]
	}
	creationEnded struct {
		Name string
		Err  *protocol.Error
	}
	clusterEnded struct {
		Handle *clusterHandle
		Reply  protocol.Future[*protocol.Error]
	}
	// resizeCluster gives a cluster, all of whose brokers are in this process, more or
	// fewer. Those that go have nothing any more.
	resizeCluster struct {
		Name    string
		Brokers int
		Reply   protocol.Future[*protocol.Error]
	}
	endNode struct{ Reply protocol.Future[error] }
	// nodeAsked is answered once all that was sent before has been handled.
	nodeAsked struct{ Reply protocol.Future[struct{}] }
)

// Receive implements actor.Actor.
func (a *nodeActor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.started(ctx)
	case *actor.Stopping, *actor.Stopped, *actor.Restarting:
	case *actor.Terminated:
		a.clusterTerminated(ctx, m.Who)
	case *restartCluster:
		a.restartCluster(ctx, m)
	case *diskChanged:
		a.tellClusters(ctx, m)
		if a.env.peers != nil {
			a.env.peers.SayFitness()
		}
	case *fleetFound:
		if !a.over {
			a.startFleet(ctx, m)
		}
	case *nodeAsked:
		m.Reply.Put(struct{}{})
	case *membersHeard:
		a.membersHeard(m)
	case *fleetChanged:
		if !a.over { // the next start does it
			a.fleetChanged(ctx, m.view)
		}
	case *createCluster:
		if a.env.fleet != nil {
			go func() {
				// On a goroutine, because it is over only once this actor has handled
				// fleetChanged and made its part of the cluster.
				c, created, err := a.env.fleet.CreateCluster(m.Spec, time.Now().Add(a.env.opt.RequestTimeout))
				m.Reply.Put(clusterCreation{Cluster: c, Created: created, Err: err})
			}()
			return
		}
		a.create(ctx, m)
	case *creationEnded:
		a.creationEnded(ctx, m)
	case *deleteCluster:
		if a.env.fleet != nil {
			go func() { m.Reply.Put(a.env.fleet.DeleteCluster(m.Name, time.Now().Add(a.env.opt.RequestTimeout))) }()
			return
		}
		a.delete(ctx, m)
	case *resizeCluster:
		a.resize(ctx, m)
	case *clusterEnded:
		a.removeFiles(m)
	case *endNode:
		a.end(ctx, m)
	default:
		a.env.log.Error("BUG: node got an unknown message", "type", typeName(m))
	}
}

func (a *nodeActor) started(ctx actor.Context) {
	if a.env.fleet != nil { // fleetFound starts all
		a.opened <- nil
		return
	}
	for _, p := range a.known {
		h := a.env.newHandle(p.Manifest)
		if p.Refused == nil {
			a.spawn(ctx, h, nil)
		} else {
			a.hold(h, &p)
		}
		a.publish(h.manifest.Name, h)
	}
	if name := a.env.opt.DefaultCluster; name != "" && a.env.manifests.FirstStart() {
		a.env.directory.WantsDefault.Store(true)
		// Nobody waits for the outcome: brokers may take as long as they like, and readiness
		// says that the cluster is not there yet. Only what fails at once ends the start.
		reply := protocol.NewFuture[clusterCreation]()
		a.create(ctx, &createCluster{Spec: &protocol.ClusterSpec{Name: name}, Reply: reply})
		select {
		case res := <-reply.C():
			if res.Err != nil { // it could not even be begun
				a.opened <- fmt.Errorf("create the default cluster: %w", res.Err)
				return
			}
		default:
		}
	}
	a.opened <- nil
}

func (a *nodeActor) spawn(ctx actor.Context, h *clusterHandle, create *createSpec) {
	log := a.env.log.With("cluster", h.manifest.Name)
	h.pid.Store(ctx.Spawn(supervise.Props(log, func() actor.Actor {
		return &clusterActor{env: a.env, log: log, handle: h, create: create}
	})))
}

// hold keeps a cluster from being started: too many of its brokers' directories are lost, and
// with new ones in their place it would come up without what only they had. Clients are told
// why, and a person may put the directories back.
func (a *nodeActor) hold(h *clusterHandle, p *datadir.ClusterPlaces) {
	h.Refused = &routing.Refusal{Reason: p.Reason(), Info: p.Info(a.env.opt.Host, a.env.opt.Port)}
	h.SetProblem(h.Refused.Reason)
	a.env.log.Error("cluster is not started", "cluster", h.manifest.Name, "error", p.Refused)
}

// publish adds a cluster to those that everybody sees; nil removes one.
func (a *nodeActor) publish(name string, h *clusterHandle) {
	if h == nil {
		delete(a.handles, name)
		a.env.directory.Put(name, nil)
		return
	}
	a.handles[name] = h
	a.env.directory.Put(name, h.Cluster)
}

func (a *nodeActor) create(ctx actor.Context, m *createCluster) {
	if a.over {
		m.Reply.Put(clusterCreation{Err: errNodeEnds})
		return
	}
	settings, err := catalog.Resolve(m.Spec, protocol.NewID(), a.env.clock.Agreed())
	if err != nil {
		m.Reply.Put(clusterCreation{Err: err})
		return
	}
	// Creating is idempotent. Who asks for the same while it is under way gets the same
	// outcome, and is told that somebody else has created it.
	if p := a.creating[settings.Name]; p != nil {
		if err := p.settings.Conflict(m.Spec); err != nil {
			m.Reply.Put(clusterCreation{Err: err})
			return
		}
		p.replies = append(p.replies, m.Reply)
		return
	}
	if h := a.handles[settings.Name]; h != nil {
		m.Reply.Put(compareCluster(h, m.Spec))
		return
	}
	// Two clusters may not share a directory: each would find the other's brokers in its own
	// places, and set their directories aside.
	if err := datadir.CheckLogDirectory(a.env.opt.DataDir, settings.LogDirectory, a.env.manifests.LogDirectories()); err != nil {
		m.Reply.Put(clusterCreation{Err: err})
		return
	}
	h, cerr := a.prepare(settings)
	if cerr != nil {
		m.Reply.Put(clusterCreation{Err: protocol.Errorf(protocol.CodeStorageFailed, "create cluster %q: %v", settings.Name, cerr)})
		return
	}
	p := &pendingCluster{handle: h, settings: settings, replies: []protocol.Future[clusterCreation]{m.Reply}}
	a.creating[settings.Name] = p
	a.publish(settings.Name, h)
	done := protocol.NewFuture[*protocol.Error]()
	a.spawn(ctx, h, &createSpec{settings: settings, reply: done})
	self := ctx.Self()
	go func() {
		// The time-out ends the creation for good. Its files are removed then, so that the
		// name is free, and the outcome is known although nothing answers.
		err, ok := done.Wait(a.env.now().Add(a.env.opt.RequestTimeout))
		if !ok {
			err = protocol.Errorf(protocol.CodeNotEnoughReplicas, "the brokers of cluster %q did not start in time", settings.Name)
		}
		a.env.system.Root.Send(self, &creationEnded{Name: settings.Name, Err: err})
	}()
}

// compareCluster answers a repeated creation.
func compareCluster(h *clusterHandle, spec *protocol.ClusterSpec) clusterCreation {
	view := h.View()
	if view == nil {
		return clusterCreation{Err: h.Unavailable()}
	}
	i := view.Info
	have := catalog.ClusterSettings{
		Name: i.Name, NumBrokers: i.NumBrokers, LogDirectory: i.LogDirectory, Partitions: i.Partitions,
		RetentionHours: i.RetentionHours, ReplicationFactor: i.ReplicationFactor, Fsync: i.Fsync,
	}
	return clusterCreation{Cluster: h.Cluster, Err: have.Conflict(spec)}
}

func (a *nodeActor) creationEnded(ctx actor.Context, m *creationEnded) {
	p := a.creating[m.Name]
	if p == nil {
		return
	}
	delete(a.creating, m.Name)
	switch {
	case m.Err != nil && a.over: // it was told to end; the next start completes or undoes it, as after a crash
		m.Err = errNodeEnds
	case m.Err != nil:
		a.env.log.Error("cluster is not created", "cluster", m.Name, "error", m.Err)
		a.publish(m.Name, nil)
		a.endAndRemove(ctx, p.handle, protocol.NewFuture[*protocol.Error]())
	default:
		a.env.directory.WantsDefault.Store(false)
	}
	for i, f := range p.replies {
		f.Put(clusterCreation{Cluster: p.handle.Cluster, Created: i == 0, Err: m.Err})
	}
}

func (a *nodeActor) delete(ctx actor.Context, m *deleteCluster) {
	h := a.handles[m.Name]
	switch {
	case a.over:
		m.Reply.Put(errNodeEnds)
	case h == nil:
		m.Reply.Put(protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist", m.Name))
	case a.creating[m.Name] != nil:
		m.Reply.Put(protocol.Errorf(protocol.CodeOverloaded, "cluster %q is being created", m.Name))
	default:
		// It is withdrawn before it ends: nobody may find a cluster whose files are about to
		// go.
		a.publish(m.Name, nil)
		a.endAndRemove(ctx, h, m.Reply)
	}
}

// resize notes how many brokers a cluster has, and tells it.
func (a *nodeActor) resize(ctx actor.Context, m *resizeCluster) {
	if a.over {
		m.Reply.Put(errNodeEnds)
		return
	}
	h := a.handles[m.Name]
	if h == nil || h.pid.Load() == nil || a.creating[m.Name] != nil {
		m.Reply.Put(protocol.Errorf(protocol.CodeClusterNotFound, "cluster %q does not exist, or is not ready", m.Name))
		return
	}
	if placed := h.placed.Load(); placed.Shared || placed.Brokers == m.Brokers {
		m.Reply.Put(nil)
		return
	}
	// The manifest is written first. A crash after it is made up for by the next start, which
	// reads the new number; brokers made without it would be directories that nobody knows.
	if err := a.env.manifests.Resize(h.manifest.ID, m.Brokers); err != nil {
		a.env.log.Error("note the number of brokers", "cluster", m.Name, "error", err)
		m.Reply.Put(protocol.Errorf(protocol.CodeStorageFailed, "note the number of brokers of cluster %q: %v", m.Name, err))
		return
	}
	h.placed.Store(&fleet.Layout{Brokers: m.Brokers})
	ctx.Send(h.pid.Load(), &brokersPlaced{h.placed.Load()})
	m.Reply.Put(nil)
}

package actors

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"ottla/actors/background"
	"ottla/actors/clock"
	"ottla/actors/compaction"
	"ottla/actors/coordinator"
	"ottla/actors/datadir"
	"ottla/actors/disk"
	"ottla/actors/fleet"
	"ottla/actors/group"
	"ottla/actors/metric"
	"ottla/actors/peers"
	"ottla/actors/replica"
	"ottla/actors/routing"
	"ottla/actors/supervise"
	"ottla/logfile"
)

// Options configure a Node. Zero values mean the defaults named here.
type Options struct {
	DataDir string // must be set; created if missing
	Host    string // as told to clients, default 127.0.0.1
	Port    int
	Kafka   string       // HOST:PORT where Kafka clients reach this node of a fleet; empty: nowhere
	Logger  *slog.Logger // default: slog.Default()
	Version string       // of the program, for people
	Link    LinkOptions

	RequestTimeout    time.Duration // control requests, 10 s
	AutoCreateTopics  bool
	DefaultCluster    string // created at first start; "": none
	OffsetsPartitions int    // of __consumer_offsets, 0: see catalog.OffsetsPartitionsFor
	SessionTimeout    time.Duration
	OffsetsRetention  time.Duration // of groups that nobody uses any more, 7 days; below 0: for ever

	SegmentBytes           int64         // default of topics, 128 MiB
	MaxRecordBytes         int           // 1 MiB
	MaxTokens              int           // 1,000
	MaxSources             int           // of webhooks, 1,000
	MaxSubscriptions       int           // likewise
	MaxGroups              int           // of all clusters, 100,000
	MaxIdempotencyKeys     int           // that the node's replicas remember together, 6,000,000
	MaxReplicas            int           // that the node carries; 0: any number
	OpenLogs               int           // of replicas whose newest file is kept open, 4,096
	AutoCreatesPerMinute   int           // topics that are created automatically, 600
	MaxBatchBytes          int           // one raft entry, 1 MiB
	RetentionCheckInterval time.Duration // 30 s
	SyncInterval           time.Duration // of clusters with fsync: interval, 1 s

	ScrubInterval       time.Duration // in which every sealed segment is verified once; 0: never
	ScrubBytesPerSecond int64         // 8 MiB

	CatchUpBytesPerSecond int64 // that is read for replicas that are far behind; 0: any number

	ClockJump time.Duration // ahead of the system's clock, that is believed only once it has lasted as long; 0: every one is believed

	Clock func() time.Time // the system's clock, of which nothing but the wall time counts; default time.Now

	now                  func() time.Time // the clock, for tests
	internalSegmentBytes int64            // of internal topics, likewise
	raiseInterval        time.Duration    // of the ledgers' counters, likewise
	restartAfter         time.Duration    // a panic, at the earliest, likewise
	stallAfter           time.Duration    // when the disk counts as failed, 10 s, likewise
	beforeSync           func()           // called before each sync of the disk, likewise

	TickInterval   time.Duration // raft's clock, 100 ms
	ElectionTicks  int           // 10
	HeartbeatTicks int           // 1
}

func (o Options) withDefaults() Options {
	o.Host = cmp.Or(o.Host, "127.0.0.1")
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 10*time.Second)
	o.SessionTimeout = cmp.Or(o.SessionTimeout, 10*time.Second)
	o.OffsetsRetention = cmp.Or(o.OffsetsRetention, 7*24*time.Hour)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, 128<<20)
	o.MaxRecordBytes = cmp.Or(o.MaxRecordBytes, 1<<20)
	o.MaxTokens = cmp.Or(o.MaxTokens, 1000)
	o.MaxSources = cmp.Or(o.MaxSources, 1000)
	o.MaxSubscriptions = cmp.Or(o.MaxSubscriptions, 1000)
	o.MaxGroups = cmp.Or(o.MaxGroups, 100_000)
	o.MaxIdempotencyKeys = cmp.Or(o.MaxIdempotencyKeys, 6_000_000)
	o.OpenLogs = cmp.Or(o.OpenLogs, 4096)
	o.AutoCreatesPerMinute = cmp.Or(o.AutoCreatesPerMinute, 600)
	o.MaxBatchBytes = cmp.Or(o.MaxBatchBytes, 1<<20)
	o.RetentionCheckInterval = cmp.Or(o.RetentionCheckInterval, 30*time.Second)
	o.SyncInterval = cmp.Or(o.SyncInterval, time.Second)
	o.raiseInterval = cmp.Or(o.raiseInterval, raiseInterval)
	o.ScrubBytesPerSecond = cmp.Or(o.ScrubBytesPerSecond, 8<<20)
	if o.now == nil {
		o.now = time.Now
	}
	if o.Clock == nil {
		o.Clock = o.now
	}
	o.Link.MaxClockOffset = cmp.Or(o.Link.MaxClockOffset, time.Second)
	o.TickInterval = cmp.Or(o.TickInterval, 100*time.Millisecond)
	o.ElectionTicks = cmp.Or(o.ElectionTicks, 10)
	o.HeartbeatTicks = cmp.Or(o.HeartbeatTicks, 1)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// environment is what all actors of a node share. Immutable once started. What changes in it
// is atomic, or safe for concurrent use by its own doing; it holds no state of a cluster, so a
// cluster that fails leaves nothing broken here.
type environment struct {
	opt       Options
	log       *slog.Logger
	system    *actor.ActorSystem
	fs        logfile.FS
	handles   *logfile.HandleCache
	recent    *logfile.Recent // the ends of logs
	bootID    string
	now       func() time.Time
	clock     *clock.Clock // for what outlives this process, and what other nodes go by
	steady    func() int64 // milliseconds since 1970 by the clock at the start of the process, and by none that is set since
	disk      *actor.PID
	together  *disk.Together // for logs that are opened
	manifests *datadir.Manifests
	directory *routing.Directory
	peers     *peers.Peers  // nil: this node is alone
	fleet     *fleet.Fleet  // likewise
	stopped   chan struct{} // closed when the node begins to end
	draining  atomic.Bool   // leadership is to leave this node

	keys       *replica.KeyBudget
	space      *disk.Reserve
	fitness    *disk.Fitness // of the data directory's disk
	background *background.Budget
	scrubber   *background.Scrubber
	catchUp    *background.CatchUp
	stats      metric.Node
	diskStats  disk.Stats
	groups     *coordinator.Env
	node       atomic.Pointer[actor.PID]
	stall      atomic.Pointer[string] // why the disk is taken for failed, nil while it is not
	failed     chan error             // one value, when the process cannot go on
}

// seal is that of a cluster's cursors, nil if it has none.
func (e *environment) seal(clusterID string) *group.Seal {
	for _, c := range e.directory.Clusters() {
		if view := c.View(); view != nil && view.Info.ID == clusterID {
			return view.Seal
		}
	}
	return nil
}

// startDisk starts the actor that writes for all brokers of the process.
func (e *environment) startDisk() error {
	pid, err := disk.Spawn(e.system.Root, "disk", disk.Options{
		Dir: e.opt.DataDir, SyncInterval: e.opt.SyncInterval, Logger: e.log, Stats: &e.diskStats, Dispatcher: supervise.Mailboxes,
		OpenLogs: e.opt.OpenLogs,
		Failed:   e.fail, Stalled: e.diskHangs, Slow: e.fitness.Slow, StallAfter: e.opt.stallAfter, Reserve: e.space, BeforeSync: e.opt.beforeSync,
	})
	e.disk, e.together = pid, disk.NewTogether(e.opt.DataDir)
	return err
}

// Millis is what time it is in milliseconds since 1970 as the nodes of the fleet have it, or
// as the system's clock says where the node is alone.
func (n *Node) Millis() int64 { return n.env.clock.Agreed() }

// agreed is the time as the fleet has it.
func (e *environment) agreed() time.Time { return time.UnixMilli(e.clock.Agreed()) }

// stopDisk ends it once everything sent before is done.
func (e *environment) stopDisk() {
	if err := e.system.Root.PoisonFuture(e.disk).Wait(); err != nil {
		e.log.Error("disk did not end in time", "error", err)
	}
	_ = e.together.Close() // was only opened
}

func typeName(v any) string { return fmt.Sprintf("%T", v) }

// wallClock is what entries are stamped with, and what they get old by.
func wallClock(o *Options) *clock.Clock {
	began := time.Now()
	return clock.New(o.Clock, func() time.Duration { return time.Since(began) }, o.ClockJump, func(ahead time.Duration, believed bool) {
		o.Logger.Warn("the system's clock has jumped ahead: append times and retention follow once it has lasted as long as storage.clock_jump",
			"ahead", ahead, "believed", believed)
	})
}

// ticks converts a duration to ticks of raft's clock, at least one.
func (e *environment) ticks(d time.Duration) int { return max(1, int(d/e.opt.TickInterval)) }

// compactionPatience is how long compaction waits for what.
func (e *environment) compactionPatience() compaction.Patience {
	return compaction.Patience{Retry: e.ticks(30 * time.Second), Serve: e.ticks(5 * time.Second)}
}

package front

import (
	"fmt"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/logfile/faultfs"
	"ottla/protocol"
)

// patience is how long a test waits for what must come: far more than a busy
// machine needs.
const patience = time.Minute

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

// world is a Front with one cluster of leaders in memory: logs on a disk in
// memory, and one coordinator.
type world struct {
	*Front
	t        *testing.T
	disk     *faultfs.FS
	cluster  *routing.Cluster
	groups   *fakeCoordinator
	replicas fakeReplicas
	stop     chan struct{}
}

// fakeReplicas says how many replicas of all partitions run.
type fakeReplicas struct{ running atomic.Int32 }

func (r *fakeReplicas) Running() int { return int(r.running.Load()) }

// fakeHost is a process without anything in it.
type fakeHost struct {
	stopped chan struct{}
	nodes   []protocol.NodeInfo
	joining string
	low     *protocol.Error // the fleet's level is too low
	unknown *protocol.Error // it cannot be found out what others have done
	settle  func()          // what others have done arrives; nil: there are no others

	resized int // how often ResizeCluster was called
}

func (h *fakeHost) CreateCluster(*protocol.ClusterSpec, time.Time) (*routing.Cluster, bool, *protocol.Error) {
	panic("BUG: a test creates a cluster")
}
func (h *fakeHost) DeleteCluster(string, time.Time) *protocol.Error { return nil }
func (h *fakeHost) DiskProblem() string                             { return "" }
func (h *fakeHost) CountInto(*protocol.Metrics)                     {}
func (h *fakeHost) Joining() string                                 { return h.joining }
func (h *fakeHost) Node() uint64                                    { return 0 }
func (h *fakeHost) IDs() routing.Control                            { return nil }
func (h *fakeHost) Fleet() (protocol.FleetInfo, *protocol.Error)    { return protocol.FleetInfo{}, h.low }

func (h *fakeHost) Finalize(time.Time) (protocol.FleetInfo, *protocol.Error) {
	return protocol.FleetInfo{}, h.low
}
func (h *fakeHost) Level() int                                     { return level.Newest }
func (h *fakeHost) Needs(level.Feature, time.Time) *protocol.Error { return h.low }
func (h *fakeHost) SpaceProblem() string                           { return "" }
func (h *fakeHost) Tasks() []protocol.TaskInfo                     { return nil }
func (h *fakeHost) ReplaceNode(uint64, uint64, time.Time) (protocol.TaskInfo, *protocol.Error) {
	return protocol.TaskInfo{}, nil
}

func (h *fakeHost) DecommissionNode(uint64, time.Time) (protocol.TaskInfo, *protocol.Error) {
	return protocol.TaskInfo{}, nil
}
func (h *fakeHost) KeepNode(uint64, time.Time) *protocol.Error { return nil }
func (h *fakeHost) Rebalance(time.Time) (protocol.TaskInfo, *protocol.Error) {
	return protocol.TaskInfo{}, nil
}

func (h *fakeHost) ResizeCluster(*routing.Cluster, int, time.Time) (*protocol.TaskInfo, *protocol.Error) {
	h.resized++
	return nil, nil
}
func (h *fakeHost) DrainNode(uint64, bool, time.Time) *protocol.Error { return nil }
func (h *fakeHost) Nodes() []protocol.NodeInfo                        { return h.nodes }
func (h *fakeHost) Settle(*routing.Cluster, time.Time) (bool, *protocol.Error) {
	if h.settle != nil {
		h.settle()
	}
	return h.unknown != nil || h.settle != nil, h.unknown
}
func (h *fakeHost) Stopped() <-chan struct{} { return h.stopped }

// fakeControl is the actor of a cluster, with a state of its own.
type fakeControl struct{ state *catalog.State }

func (c *fakeControl) Change(_ time.Time, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	recs, err := decide(c.state)
	for _, rec := range recs {
		if aerr := c.state.Apply(rec); aerr != nil {
			panic(aerr)
		}
	}
	return err
}
func (c *fakeControl) ChangeBroker(int, bool, time.Time) *protocol.Error { return nil }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, disk: faultfs.New(), stop: make(chan struct{})}
	w.replicas.running.Store(1)
	directory := routing.NewDirectory()
	w.Front = New(Options{RequestTimeout: 400 * time.Millisecond, SessionTimeout: 30 * time.Second, Now: time.Now, Logger: slog.Default()},
		directory, &fakeHost{stopped: w.stop})
	w.cluster = &routing.Cluster{Name: protocol.DefaultCluster, Control: &fakeControl{catalog.New()}, Known: time.Now()}
	directory.Put(w.cluster.Name, w.cluster)
	w.groups = &fakeCoordinator{t: t, groups: map[string]*fakeGroup{}}
	w.publish(w.topic(protocol.OffsetsTopic, 1))
	w.lead(w.table(protocol.OffsetsTopic), 0).ask = w.groups.ask
	return w
}

// table is a topic as the newest routing table has it.
func (w *world) table(name string) *protocol.Topic { return w.cluster.Table().Topics[name] }

// topic makes a topic whose partitions have no leaders yet.
func (w *world) topic(name string, partitions int) *protocol.Topic {
	id := protocol.NewID()
	route := &routing.Topic{Cluster: w.cluster}
	for p := range partitions {
		route.Partitions = append(route.Partitions, routing.NewPartition(protocol.PartitionID{TopicID: id, Partition: p}, &w.replicas, 1))
	}
	return &protocol.Topic{ID: id, Name: name, Cluster: w.cluster.Name, Partitions: partitions, Route: route}
}

// publish makes a table with these topics, and those of the last one.
func (w *world) publish(topics ...*protocol.Topic) {
	next := &routing.Table{Cluster: w.cluster.Name, Topics: map[string]*protocol.Topic{}}
	if now := w.cluster.Table(); now != nil {
		for name, t := range now.Topics {
			next.Topics[name] = t
		}
	}
	for _, t := range topics {
		next.Topics[t.Name] = t
	}
	w.replace(next)
}

// remove takes a topic out of the table.
func (w *world) remove(name string) {
	next := &routing.Table{Cluster: w.cluster.Name, Topics: map[string]*protocol.Topic{}}
	for _, t := range w.cluster.Table().Topics {
		if t.Name != name {
			next.Topics[t.Name] = t
		}
	}
	w.replace(next)
}

func (w *world) replace(next *routing.Table) {
	if w.cluster.Publish(next, &routing.View{NextConsumerID: 1}) {
		w.directory.TopicsChanged()
	}
}

// withTopic publishes a topic with a leader for each of its partitions.
func (w *world) withTopic(name string, partitions int) (*protocol.Topic, []*fakeLeader) {
	w.t.Helper()
	t := w.topic(name, partitions)
	leaders := make([]*fakeLeader, partitions)
	for p := range leaders {
		leaders[p] = w.lead(t, p)
	}
	w.publish(t)
	return t, leaders
}

// lead makes a new leader of a partition, with an empty log.
func (w *world) lead(t *protocol.Topic, partition int) *fakeLeader {
	w.t.Helper()
	l := w.replica(t, partition)
	l.route.Set(l.Leadership)
	return l
}

// replica makes the next leader of a partition, and does not publish it.
func (w *world) replica(t *protocol.Topic, partition int) *fakeLeader {
	w.t.Helper()
	route := routing.Of(t).Partitions[partition]
	term := uint64(1)
	if now := route.Leader(); now != nil {
		term = now.Term + 1
	}
	l := &fakeLeader{t: w.t, topic: t.Name, partition: partition, route: route, waiters: map[*protocol.Waiter]protocol.Offset{}}
	l.Leadership = &routing.Leadership{Leader: l, Broker: 1, Term: term}
	dir := fmt.Sprintf("/logs/%s/%d-%d-%s", t.ID, partition, term, protocol.NewID())
	require.NoError(w.t, w.disk.MkdirAll(path.Dir(dir), 0o755))
	for at := path.Dir(dir); ; at = path.Dir(at) {
		require.NoError(w.t, w.disk.SyncDir(at))
		if at == "/" {
			break
		}
	}
	var err error
	l.log, err = logfile.Create(w.disk, dir,
		logfile.Identity{ClusterID: "c", TopicID: t.ID, Topic: t.Name, Partition: partition, Broker: 1, ReplicaID: 1},
		logfile.Checkpoint{}, logfile.Options{BootID: "1"})
	require.NoError(w.t, err)
	l.view.Store(l.log.View(0))
	return l
}

// fakeLeader leads a partition: what is appended is committed at once.
type fakeLeader struct {
	*routing.Leadership
	t         *testing.T
	topic     string
	partition int
	route     *routing.Partition
	log       *logfile.Log
	view      atomic.Pointer[logfile.View]
	produce   func(*protocol.ProduceRequest) // nil: every one is refused
	ask       func(routing.Question)         // nil: every one is refused
	silent    func() *protocol.Error         // why it shows no view; nil: it does

	mu      sync.Mutex
	waiters map[*protocol.Waiter]protocol.Offset
}

func (l *fakeLeader) LogBytes() int64 { return l.view.Load().Size() }

func (l *fakeLeader) View() (routing.LogView, *protocol.Error) {
	if l.silent != nil {
		if err := l.silent(); err != nil {
			return nil, err
		}
	}
	return l.view.Load(), nil
}

func (l *fakeLeader) Produce(req *protocol.ProduceRequest) {
	if l.produce == nil {
		req.Reply.Put(protocol.ProduceResult{Err: protocol.ErrNotLeader})
		return
	}
	l.produce(req)
}

func (l *fakeLeader) Ask(q routing.Question) {
	if l.ask == nil {
		q.Refuse(protocol.ErrNotLeader)
		return
	}
	l.ask(q)
}

func (l *fakeLeader) Register(w *protocol.Waiter, offset protocol.Offset) {
	if int64(offset) < l.view.Load().HighWatermark() {
		w.Wake()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiters[w] = offset
}

func (l *fakeLeader) Unregister(w *protocol.Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiters, w)
}

// registered is the number of waiters.
func (l *fakeLeader) registered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiters)
}

// append commits one entry with these values, under the keys "k0" and so on,
// and wakes who waits for it.
func (l *fakeLeader) append(values ...string) {
	l.t.Helper()
	lines := &protocol.Lines{}
	for i, v := range values {
		lines.Add(1700000000000+l.log.NextOffset()+int64(i), l.topic, l.partition, []byte(fmt.Sprintf(`"k%d"`, i)), []byte(v), protocol.ActionProduce, nil)
	}
	l.appendLines(lines)
}

// appendLines commits lines.
func (l *fakeLeader) appendLines(lines *protocol.Lines) {
	l.t.Helper()
	body := lines.AppendNumbered(nil, protocol.Offset(l.log.NextOffset()))
	b := &logfile.Batch{}
	require.NoError(l.t, l.log.Append(b, []logfile.Frame{{
		Index: l.log.LastIndex() + 1, Term: 1, Kind: logfile.KindRecords, BaseOffset: l.log.NextOffset(), Count: lines.Len(),
		AppendTime: 1700000000000 + l.log.NextOffset(), Body: body, BodySum: logfile.Checksum(body),
	}}))
	require.NoError(l.t, b.Execute())
	l.log.Synced(l.log.LastIndex())
	l.view.Store(l.log.View(l.log.NextOffset()))
	l.wakeAll()
}

// startAt removes the records below offset.
func (l *fakeLeader) startAt(offset int64) {
	l.t.Helper()
	b := &logfile.Batch{}
	l.log.SetLogStart(b, offset)
	require.NoError(l.t, b.Execute())
	l.view.Store(l.log.View(l.log.NextOffset()))
}

func (l *fakeLeader) wakeAll() {
	l.mu.Lock()
	woken := l.waiters
	l.waiters = map[*protocol.Waiter]protocol.Offset{}
	l.mu.Unlock()
	for w := range woken {
		w.Wake()
	}
}

// resign withdraws the leader, and refuses what it is asked from now on.
func (l *fakeLeader) resign() {
	l.produce, l.ask = nil, nil
	l.route.Clear(l.Leadership)
	l.wakeAll()
}

func requireCode(t *testing.T, code protocol.Code, err *protocol.Error) {
	t.Helper()
	require.NotNil(t, err, "want %s", code.Name)
	require.Equal(t, code.Name, err.Code.Name, err.Message)
}

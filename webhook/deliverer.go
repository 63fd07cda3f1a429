package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"ottla/protocol"
)

// Backend is what a Deliverer needs of the broker. All methods may be called from any
// goroutine.
type Backend interface {
	// Delivering are the subscriptions that this process is to deliver. None of them is
	// paused.
	Delivering() []*protocol.Subscription
	// Subscription finds a subscription. Error: subscription_not_found.
	Subscription(name string) (*protocol.Subscription, *protocol.Error)
	AlterSubscription(ctx context.Context, name string, change func(*protocol.SubscriptionSpec) *protocol.Error) (*protocol.Subscription, *protocol.Error)

	LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error)
	CreateTopic(ctx context.Context, spec *protocol.TopicSpec) (*protocol.TopicInfo, bool, *protocol.Error)
	StartFetch(req *protocol.FetchRequest) protocol.PendingFetch
	Placed(topic *protocol.Topic, q *protocol.PlaceQuestion, deadline time.Time) (by protocol.Placement, again bool, err *protocol.Error)
	Produce(reqs []*protocol.ProduceRequest, deadline time.Time)

	Poll(req *protocol.PollRequest, done <-chan struct{}) (*protocol.PollReply, *protocol.Error)
	Heartbeat(req *protocol.HeartbeatRequest) (*protocol.HeartbeatReply, *protocol.Error)
	Offsets(req *protocol.OffsetsRequest) ([]protocol.OffsetInfo, *protocol.Error)
	Commit(req *protocol.CommitRequest) (*protocol.CommitReply, *protocol.Error)
	LeaveGroup(cluster, group string, id protocol.ConsumerID) *protocol.Error
}

// Options configure a Deliverer; none has a default.
type Options struct {
	Targets *Targets
	Agent   string // User-Agent of deliveries
	// Render appends a record as receivers see it.
	Render func(dst []byte, r *protocol.Record) []byte
	Logger *slog.Logger
}

// Bounds of a process, all subscriptions together.
const (
	maxSending   = 256      // deliveries at the same time
	maxSendBytes = 64 << 20 // of the records in them
	maxReading   = 16       // reads of up to readBytes, to plan deliveries
	lookInterval = 200 * time.Millisecond
	closing      = 5 * time.Second // how long a worker may take to end what it has begun
)

// Deliverer delivers the subscriptions that are this process's.
type Deliverer struct {
	b Backend
	o Options

	client  *http.Client
	sends   *semaphore.Weighted
	bytes   *semaphore.Weighted
	reads   *semaphore.Weighted
	counts  [3]atomic.Uint64 // see Counts
	workers map[string]*worker
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
}

const (
	countDelivered = iota
	countFailed
	countDead
)

// New starts a Deliverer. Close ends it.
func New(b Backend, o Options) *Deliverer {
	d := &Deliverer{
		b: b, o: o, client: newClient(o.Targets), workers: map[string]*worker{},
		sends: semaphore.NewWeighted(maxSending), bytes: semaphore.NewWeighted(maxSendBytes), reads: semaphore.NewWeighted(maxReading),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go d.run()
	return d
}

// Counts returns what was counted so far. It may be called at any time.
func (d *Deliverer) Counts() protocol.DeliveryCounts {
	return protocol.DeliveryCounts{
		Delivered: d.counts[countDelivered].Load(), Failed: d.counts[countFailed].Load(), Dead: d.counts[countDead].Load(),
	}
}

// Close ends what is under way within some seconds, commits what is delivered, and
// starts nothing new. The broker must still answer.
func (d *Deliverer) Close() {
	d.once.Do(func() { close(d.stop) })
	<-d.stopped
}

func (d *Deliverer) run() {
	defer close(d.stopped)
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			for _, w := range d.workers {
				w.end()
			}
			for _, w := range d.workers {
				<-w.ended
			}
			d.client.CloseIdleConnections()
			return
		case <-tick.C:
			d.look()
		}
	}
}

// look starts and ends workers, as subscriptions come, change, move and go.
func (d *Deliverer) look() {
	mine := map[string]*protocol.Subscription{}
	for _, sub := range d.b.Delivering() {
		mine[sub.Name] = sub
	}
	for name, w := range d.workers {
		if w.sub != mine[name] {
			w.end()
		}
		select {
		case <-w.ended:
			delete(d.workers, name)
		default:
		}
	}
	for name, sub := range mine {
		if d.workers[name] == nil { // else the one before ends first
			d.workers[name] = d.begin(sub)
		}
	}
}

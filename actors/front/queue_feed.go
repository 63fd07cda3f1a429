package front

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// How long a queue's goroutines wait before they look by themselves, and before they
// try again what could not be done.
const (
	feedInterval = time.Second
	feedRetry    = 200 * time.Millisecond
	scanBytes    = 1 << 20
)

// FeedQueue reads the logs of a queue that is led at this node, and writes its dead
// letters, until the queue ends.
func (fr *Front) FeedQueue(q *routing.QueueFeed) {
	f := &queueFeed{front: fr, feed: q, seed: maphash.MakeSeed(), ends: map[protocol.PartitionID]*feedEnd{}, woken: make(chan struct{}, 1)}
	go f.run()
}

// queueFeed is the goroutine of one queue.
type queueFeed struct {
	front   *Front
	feed    *routing.QueueFeed
	seed    maphash.Seed // of the hashes of keys, which nobody else needs
	ends    map[protocol.PartitionID]*feedEnd
	woken   chan struct{}
	burying atomic.Bool
	born    int64
}

// feedEnd is where the queue waits for more at the end of a partition.
type feedEnd struct {
	leader *routing.Leadership
	waiter *protocol.Waiter
	woken  atomic.Bool
	looked time.Time // at the log's bounds
}

func (f *queueFeed) run() {
	defer f.unregister()
	for {
		work, ok := f.look()
		if !ok {
			return
		}
		more, retry := f.scan(work)
		f.bury(work)
		if more {
			continue
		}
		pause := feedInterval
		if retry {
			pause = feedRetry
		}
		t := time.NewTimer(pause)
		select {
		case <-f.feed.Ended:
		case <-f.front.stopped:
		case <-f.feed.Work:
		case <-f.woken:
		case <-t.C:
		}
		t.Stop()
		if closed(f.feed.Ended) || closed(f.front.stopped) {
			return
		}
	}
}

// cluster is the cluster of the queue; nil while it is not served.
func (f *queueFeed) cluster() *routing.Cluster { return f.front.clusterByID(f.feed.ClusterID) }

// look asks the queue what is to be done; false when the queue has ended.
func (f *queueFeed) look() (*routing.QueueWork, bool) {
	partitions := map[string]int{}
	if c := f.cluster(); c != nil {
		for _, t := range c.Table().Topics {
			partitions[t.ID] = t.Partitions
		}
	}
	slot := protocol.NewFuture[routing.QueueWork]()
	f.feed.Ask(&routing.QueueLook{Partitions: partitions, Reply: slot})
	for {
		work, come := slot.Wait(time.Now().Add(feedInterval))
		switch {
		case come && work.Err == nil:
			f.born = work.Born
			return &work, true
		case come, closed(f.feed.Ended), closed(f.front.stopped):
			return nil, false
		}
	}
}

// scan reads what the queue wants to be read. More says that there is more to read at
// once, retry that something could not be read.
func (f *queueFeed) scan(work *routing.QueueWork) (more, retry bool) {
	c := f.cluster()
	if c == nil {
		return false, true
	}
	for i := range work.Scans {
		s := &work.Scans[i]
		t := c.Table().Topics[s.Topic]
		if t == nil || t.ID != s.ID.TopicID || s.ID.Partition >= t.Partitions {
			continue
		}
		read, err := f.scanPartition(t, s)
		more, retry = more || read, retry || err
	}
	return more, retry
}

// scanPartition reads one partition; read says that there may be more.
func (f *queueFeed) scanPartition(t *protocol.Topic, s *queue.Scan) (read, failed bool) {
	end := f.ends[s.ID]
	if end == nil {
		end = &feedEnd{}
		end.waiter = protocol.NewWaiter(func() {
			end.woken.Store(true)
			select {
			case f.woken <- struct{}{}:
			default:
			}
		})
		f.ends[s.ID] = end
	}
	route := routing.Of(t).Partitions[s.ID.Partition]
	waits := end.leader != nil && end.leader == route.Leader() && !end.woken.Load()
	if waits && !s.Again && s.From >= 0 && time.Since(end.looked) < feedInterval {
		return false, false
	}
	v, leader, err := f.front.view(t, s.ID.Partition, 0)
	if err != nil || v == nil {
		return false, true
	}
	end.looked = time.Now()
	r := &routing.QueueRead{Read: queue.Read{Scan: *s, Next: s.From, Earliest: v.Earliest(), End: v.HighWatermark()}}
	if s.From >= 0 && s.From >= v.Earliest() {
		if err := f.read(v, &r.Read); err != nil {
			return false, true
		}
	}
	f.feed.Ask(r)
	switch {
	case s.From < 0, s.From < v.Earliest(), s.Again, r.Next < v.HighWatermark():
		return true, false
	case !waits || end.woken.Load():
		end.woken.Store(false)
		if end.leader != nil && end.leader != leader {
			end.leader.Unregister(end.waiter)
		}
		end.leader = leader
		leader.Register(end.waiter, protocol.Offset(r.Next))
	}
	return false, false
}

// read reads records for a scan.
func (f *queueFeed) read(v routing.LogView, r *queue.Read) error {
	to := v.HighWatermark()
	if r.To > 0 {
		to = min(to, r.To)
	}
	if r.From >= to {
		return nil
	}
	next := r.From
	err := v.Each(r.From, int(min(int64(r.Scan.Records), to-r.From)), scanBytes, func(rec *logfile.Record) {
		if rec.Offset >= to {
			return
		}
		one := queue.ReadRecord{
			Offset: rec.Offset, Size: len(rec.Key) + len(rec.Value) + len(rec.Headers), Timestamp: rec.Timestamp, DeliverAt: protocol.DeliverAt(rec.Action),
		}
		if string(rec.Key) != protocol.NullToken {
			one.Key = max(1, maphash.Bytes(f.seed, rec.Key))
		}
		r.Records = append(r.Records, one)
		next = rec.Offset + 1
	})
	if err != nil {
		return err
	}
	if next == r.From {
		next = to // compaction left nothing up to there
	}
	r.Next = next
	return nil
}

func (f *queueFeed) unregister() {
	for _, end := range f.ends {
		if end.leader != nil {
			end.leader.Unregister(end.waiter)
		}
	}
}

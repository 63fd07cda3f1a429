package front

import (
	"hash/maphash"
	"sync"
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
	idleInterval = 15 * time.Second // where nobody works
	feedRetry    = 200 * time.Millisecond
	scanBytes    = 1 << 20
)

// FeedQueue reads the logs of a queue that is led at this node, and writes its dead
// letters, until the queue ends.
func (qs *queueService) FeedQueue(q *routing.QueueFeed) {
	f := &queueFeed{
		queues: qs, feed: q, seed: maphash.MakeSeed(), ends: map[protocol.PartitionID]*feedEnd{},
		woken: make(chan struct{}, 1), slots: make(chan struct{}, feedReaders),
	}
	go f.run()
}

// queueFeed is what is read for one queue. One goroutine asks the queue what is to be done.
// Each partition is read, and has its dead letters written, by a goroutine of its own while
// there is something to do: one whose leader does not answer holds up no other. All of it
// is of this node and of one time of leading: with the queue it ends, and nothing of it is
// kept. What it brings late, or twice, the queue ignores.
type queueFeed struct {
	queues *queueService
	feed   *routing.QueueFeed
	seed   maphash.Seed // of the hashes of keys, which nobody else needs
	ends   map[protocol.PartitionID]*feedEnd
	woken  chan struct{}
	slots  chan struct{} // taken by the partitions that are being read

	reading sync.WaitGroup // goroutines that read, or wait for a slot
}

// feedEnd is where the queue waits for more at the end of a partition. Who has set busy
// has the fields below it.
type feedEnd struct {
	waiter  *protocol.Waiter
	woken   atomic.Bool // by its leader, since it was registered there
	missed  atomic.Bool // it was to be read while it was busy
	burying atomic.Bool // a dead letter of the partition is being written
	busy    atomic.Bool

	// Of dead letters, for who has set burying.
	failures int       // in a row
	retry    time.Time // not before

	leader *routing.Leadership // where it is registered
	looked time.Time           // at the log's bounds
}

// feedReaders is how many partitions of a queue are read at the same time.
const feedReaders = 16

// run asks and does, again and again. It looks after a pause even if nobody calls, because
// retention moves a log's start without telling anybody.
func (f *queueFeed) run() {
	defer f.unregister()
	for {
		work, ok := f.look()
		if !ok {
			return
		}
		f.scan(work)
		f.bury(work)
		pause := feedInterval
		if work.Idle {
			pause = idleInterval
		}
		t := time.NewTimer(pause)
		select {
		case <-f.feed.Ended:
		case <-f.queues.stopped:
		case <-f.feed.Work:
		case <-f.woken:
		case <-t.C:
		}
		t.Stop()
		if closed(f.feed.Ended) || closed(f.queues.stopped) {
			return
		}
	}
}

// wake has the queue asked again.
func (f *queueFeed) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

// wakeLater does so after a while: something could not be done.
func (f *queueFeed) wakeLater() { time.AfterFunc(feedRetry, f.wake) }

// cluster is the cluster of the queue; nil while it is not served.
func (f *queueFeed) cluster() *routing.Cluster { return f.queues.clusterByID(f.feed.ClusterID) }

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
			return &work, true
		// An answer with an error says that the group is no queue here any more.
		case come, closed(f.feed.Ended), closed(f.queues.stopped):
			return nil, false
		}
	}
}

// scan reads what the queue wants to be read.
func (f *queueFeed) scan(work *routing.QueueWork) {
	c := f.cluster()
	if c == nil {
		f.wakeLater()
		return
	}
	for i := range work.Scans {
		s := &work.Scans[i]
		t := c.Table().Topics[s.Topic]
		if t == nil || t.ID != s.ID.TopicID || s.ID.Partition >= t.Partitions {
			continue
		}
		end := f.end(s.ID)
		if !end.busy.CompareAndSwap(false, true) {
			// Set before the second try: who is busy either sees it when it is done, or is
			// done by now.
			end.missed.Store(true) // it wakes when it is done
			if !end.busy.CompareAndSwap(false, true) {
				continue
			}
			end.missed.Store(false)
		}
		route := routing.Of(t).Partitions[s.ID.Partition]
		waits := end.leader != nil && end.leader == route.Leader() && !end.woken.Load()
		if waits && !s.Again && s.From >= 0 && time.Since(end.looked) < feedInterval {
			end.busy.Store(false)
			continue
		}
		f.reading.Go(func() { f.scanPartition(t, s, end, waits) })
	}
}

// end is where the queue waits at the end of a partition. Only run calls it, so the map
// needs no lock.
func (f *queueFeed) end(id protocol.PartitionID) *feedEnd {
	end := f.ends[id]
	if end == nil {
		end = &feedEnd{}
		end.waiter = protocol.NewWaiter(func() {
			end.woken.Store(true)
			f.wake()
		})
		f.ends[id] = end
	}
	return end
}

// scanPartition reads from one partition. Waits says that it is only looked whether its
// log begins later now.
func (f *queueFeed) scanPartition(t *protocol.Topic, s *queue.Scan, end *feedEnd, waits bool) {
	// Here and not before the goroutine begins: run must not wait, or a partition whose
	// leader does not answer would hold up the dead letters.
	f.slots <- struct{}{}
	more := false
	defer func() {
		<-f.slots
		end.busy.Store(false)
		if missed := end.missed.Swap(false); more || missed || end.woken.Load() {
			f.wake()
		}
	}()
	v, leader, err := f.queues.view(t, s.ID.Partition, 0)
	if err != nil || v == nil {
		f.wakeLater()
		return
	}
	end.looked = time.Now()
	r := &routing.QueueRead{Read: queue.Read{Scan: *s, Next: s.From, Earliest: v.Earliest(), End: v.HighWatermark()}}
	if s.From >= 0 && s.From >= v.Earliest() {
		if err := f.read(v, &r.Read); err != nil {
			f.wakeLater()
			return
		}
	}
	// Also without records: that the log begins later now, or has more, is news.
	f.feed.Ask(r)
	switch {
	case s.From < 0, s.From < v.Earliest(), s.Again, r.Next < v.HighWatermark():
		more = true
	case !waits || end.woken.Load():
		end.woken.Store(false)
		if end.leader != nil && end.leader != leader {
			end.leader.Unregister(end.waiter)
		}
		end.leader = leader
		leader.Register(end.waiter, protocol.Offset(r.Next))
	}
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

// unregister waits for the goroutines that read first: one of them could register a waiter
// behind it.
func (f *queueFeed) unregister() {
	f.reading.Wait()
	for _, end := range f.ends {
		if end.leader != nil {
			end.leader.Unregister(end.waiter)
		}
	}
}

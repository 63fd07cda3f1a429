package webhook

import (
	"context"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ottla/protocol"
)

const (
	renewal      = 3 * time.Second // how often a worker renews its lease and looks for partitions
	session      = 15 * time.Second
	trouble      = time.Second // before what the broker refused is tried again
	fetchTimeout = 30 * time.Second
)

// worker delivers one subscription. Its state belongs to its goroutine, run; others hand
// it functions by post.
type worker struct {
	d   *Deliverer
	sub *protocol.Subscription
	log *slog.Logger

	ctx    context.Context // over when nothing is waited for any more
	cancel context.CancelFunc
	asked  chan struct{} // closed when it is to end
	once   sync.Once
	ended  chan struct{}

	mu     sync.Mutex
	posted []func()
	wake   chan struct{}

	lanes      map[protocol.TopicPartition]*lane
	lanesOf    protocol.Generation // that lanes and assigned are of; 0: none
	assigned   []protocol.TopicPartition
	generation protocol.Generation // 0: to be asked for
	joined     bool                // there may be a member to be taken out
	renewAt    time.Time
	renewing   bool
	committing bool
	commitAt   time.Time // not before: the last commit failed
	inFlight   int
	failures   int  // in a row, of the whole subscription
	gone       bool // the receiver wants no more
	pausing    bool
	seed       maphash.Seed
}

// begin starts a worker.
func (d *Deliverer) begin(sub *protocol.Subscription) *worker {
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{
		d: d, sub: sub, log: d.o.Logger.With("subscription", sub.Name), ctx: ctx, cancel: cancel,
		asked: make(chan struct{}), ended: make(chan struct{}), wake: make(chan struct{}, 1),
		lanes: map[protocol.TopicPartition]*lane{}, seed: maphash.MakeSeed(),
	}
	go w.run()
	return w
}

// end has the worker finish what is under way.
func (w *worker) end() { w.once.Do(func() { close(w.asked) }) }

// post has the worker's goroutine call f. It does not block.
func (w *worker) post(f func()) {
	w.mu.Lock()
	w.posted = append(w.posted, f)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) run() {
	defer close(w.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	asked, over := w.asked, (<-chan time.Time)(nil)
	ending := false
	for {
		select {
		case <-timer.C:
		case <-w.wake:
		case <-asked:
			asked, ending, over = nil, true, time.After(closing)
		case <-over:
			w.finish()
			return
		}
		w.mu.Lock()
		posted := w.posted
		w.posted = nil
		w.mu.Unlock()
		for _, f := range posted {
			f()
		}
		// Who joins while it is taken out would be a member that nobody is.
		if ending && w.inFlight == 0 && !w.renewing && !w.committing && !w.commit(time.Now()) {
			w.finish()
			return
		}
		if !ending {
			timer.Reset(max(0, time.Until(w.step(time.Now()))))
		}
	}
}

// step starts what can be started, and returns when to look again.
func (w *worker) step(now time.Time) time.Time {
	again := now.Add(renewal)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(again) {
			again = t
		}
	}
	if !w.renewing && !w.committing && !now.Before(w.renewAt) {
		w.renew()
	}
	earlier(w.renewAt)
	for _, l := range w.lanes {
		w.plan(l, now)
		earlier(l.retryAt)
		if free := w.free(); free > 0 && !w.gone {
			for _, u := range l.ready(now, free) {
				w.send(l, u)
			}
			earlier(l.nextDue())
		}
	}
	if !w.commit(now) && w.gone && !w.committing && !w.pausing {
		w.pause()
	}
	earlier(w.commitAt)
	if !again.After(now) { // something else has to happen first, and wakes the worker
		again = now.Add(trouble)
	}
	return again
}

// free is how many deliveries may be added to those under way. One is tried at a time
// while nothing gets through.
func (w *worker) free() int {
	if w.failures > 2 {
		return 1 - w.inFlight
	}
	return concurrency - w.inFlight
}

// finish leaves nothing behind that waits. A worker that was paused or deleted leaves its
// group; one that has only moved does not, because its successor is the same member.
func (w *worker) finish() {
	w.cancel()
	for _, l := range w.lanes {
		if l.pending != nil {
			l.pending.Nudge()
		}
	}
	now, err := w.d.b.Subscription(w.sub.Name)
	deleted := err != nil && err.Code == protocol.CodeSubscriptionNotFound
	if w.joined && (deleted || err == nil && (now.Paused || now.ConsumerID != w.sub.ConsumerID || now.Group != w.sub.Group || now.Cluster != w.sub.Cluster)) {
		if err := w.d.b.LeaveGroup(w.sub.Cluster, w.sub.Group, w.sub.ConsumerID); err != nil {
			w.log.Debug("the group was not left", "error", err)
		}
	}
}

// renewed is what a renewal has found out.
type renewed struct {
	generation protocol.Generation
	assigned   []protocol.TopicPartition
	offsets    []protocol.OffsetInfo // nil in the generation of before
	err        *protocol.Error
}

// renew joins the group, or renews the lease, and learns which partitions are the
// worker's. No commit is under way meanwhile, so the offsets are those of before.
func (w *worker) renew() {
	w.renewing, w.joined = true, true // perhaps: also where an error follows
	known := w.generation
	go func() {
		r := w.join(known)
		w.post(func() { w.renewedWith(r) })
	}()
}

func (w *worker) join(known protocol.Generation) (r renewed) {
	sub := w.sub
	topics, err := w.topics()
	if err != nil {
		r.err = err
		return r
	}
	// Who polls a queue is given records: a group may have become one while nobody was in it.
	mine := &protocol.HeartbeatRequest{Cluster: sub.Cluster, Group: sub.Group, ConsumerID: sub.ConsumerID}
	if _, err := w.d.b.Heartbeat(mine); err != nil && err.Code != protocol.CodeUnknownMember && err.Code != protocol.CodeGroupNotFound {
		r.err = err
		return r
	}
	_, r.err = w.d.b.Poll(&protocol.PollRequest{
		Cluster: sub.Cluster, Group: sub.Group, ConsumerID: sub.ConsumerID, Topics: topics, SessionTimeout: session,
		MaxRecords: 1, MaxBytes: 1, SkipGaps: true, From: protocol.StartFrom{Latest: sub.FromLatest},
	}, nil)
	if r.err != nil {
		return r
	}
	lease, err := w.d.b.Heartbeat(mine)
	if err != nil {
		r.err = err
		return r
	}
	r.generation, r.assigned = lease.Generation, lease.Assignment
	if r.generation != known {
		r.offsets, r.err = w.d.b.Offsets(&protocol.OffsetsRequest{Cluster: sub.Cluster, Group: sub.Group})
	}
	return r
}

// topics are those of the subscription that there are. One that is deleted takes only its
// own deliveries with it. Error: there is none, or it is not known.
func (w *worker) topics() (names []string, err *protocol.Error) {
	var none *protocol.Error
	for _, name := range w.sub.Topics {
		switch _, err := w.d.b.LookupTopic(w.sub.Cluster, name, false, time.Time{}); {
		case err == nil:
			names = append(names, name)
		case err.Code == protocol.CodeTopicNotFound:
			none = err
		default:
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, none
	}
	return names, nil
}

func (w *worker) renewedWith(r renewed) {
	w.renewing = false
	w.renewAt = time.Now().Add(renewal)
	if r.err != nil {
		w.log.Debug("the group does not answer", "error", r.err)
		w.renewAt = time.Now().Add(trouble)
		return
	}
	if r.generation == w.generation {
		return
	}
	w.generation = r.generation
	before, keep := w.lanes, w.keepsLanes(r)
	w.lanesOf, w.assigned = r.generation, r.assigned
	w.lanes = map[protocol.TopicPartition]*lane{}
	for _, at := range r.assigned {
		t, err := w.d.b.LookupTopic(w.sub.Cluster, at.Topic, false, time.Time{})
		if err != nil {
			continue // deleted: there will be another generation
		}
		for i := range r.offsets {
			o := &r.offsets[i]
			if o.Topic != at.Topic || o.Partition != at.Partition || o.Committed == nil {
				continue
			}
			if l := before[at]; keep && l != nil && l.topicID == t.ID && l.committed == *o.Committed {
				w.lanes[at] = l
			} else {
				w.lanes[at] = newLane(w.sub, at, t.ID, *o.Committed, o.Metadata)
			}
		}
	}
	for at, l := range before {
		if w.lanes[at] != l && l.pending != nil {
			l.pending.Nudge() // it finds that the lane is not there any more
		}
	}
	if len(w.lanes) < len(r.assigned) {
		w.generation = 0 // of some there was no offset yet: look again
		w.renewAt = time.Now().Add(trouble)
	}
}

// keepsLanes reports whether lanes may go on, with what they have delivered and not yet
// committed. They may not after a seek, which wants all from its offset on once more, and
// which does not show in the offset where nothing behind it is committed: it is a
// generation with the partitions of the one before.
func (w *worker) keepsLanes(r renewed) bool {
	switch r.generation {
	case w.lanesOf:
		return true
	case w.lanesOf + 1:
		return !slices.Equal(w.assigned, r.assigned)
	}
	return false // one of those in between may be that of a seek
}

// commit commits what lanes have to commit. It reports whether a commit is under way
// or due.
func (w *worker) commit(now time.Time) bool {
	if w.committing {
		return true
	}
	var offsets []protocol.OffsetCommit
	var saved []func()
	var dirty []*lane
	for _, l := range w.lanes {
		at, note, due := l.progress()
		if !due {
			continue
		}
		offsets = append(offsets, protocol.OffsetCommit{Topic: l.topic, TopicID: l.topicID, Partition: l.partition, Offset: at, Metadata: metadata(note)})
		dirty = append(dirty, l)
	}
	if len(offsets) == 0 {
		w.commitAt = time.Time{}
		return false
	}
	if w.renewing || now.Before(w.commitAt) {
		return true
	}
	for i, l := range dirty {
		saved = append(saved, l.saving(offsets[i].Offset))
	}
	w.committing = true
	generation := w.generation
	go func() {
		_, err := w.d.b.Commit(&protocol.CommitRequest{
			Cluster: w.sub.Cluster, Group: w.sub.Group, ConsumerID: w.sub.ConsumerID, Offsets: offsets, Generation: &generation,
		})
		w.post(func() { w.committed(err, saved, dirty) })
	}()
	return true
}

// metadata renders a note within what a commit may have: what it says of the furthest
// units goes first.
func metadata(note protocol.DeliveryNote) string {
	const most = 4096
	text := note.String()
	for len(text) > most {
		note.Units = note.Units[:len(note.Units)*3/4]
		text = note.String()
	}
	return text
}

func (w *worker) committed(err *protocol.Error, saved []func(), dirty []*lane) {
	w.committing, w.commitAt = false, time.Time{}
	if err == nil {
		for _, f := range saved {
			f()
		}
		return
	}
	for _, l := range dirty {
		l.dirty = true
	}
	w.log.Debug("deliveries are not committed", "error", err)
	w.commitAt = time.Now().Add(trouble)
	switch err.Code {
	case protocol.CodeStaleGeneration:
		w.generation, w.renewAt = 0, time.Time{}
	case protocol.CodeConsumerNotFound, protocol.CodeGroupNotFound, protocol.CodeOffsetRegression:
		w.generation, w.lanesOf, w.renewAt = 0, 0, time.Time{}
	}
}

// pause notes in the subscription that its receiver wants no more.
func (w *worker) pause() {
	w.pausing = true
	go func() {
		ctx, cancel := context.WithTimeout(w.ctx, fetchTimeout)
		defer cancel()
		_, err := w.d.b.AlterSubscription(ctx, w.sub.Name, func(s *protocol.SubscriptionSpec) *protocol.Error {
			if s.URL == w.sub.URL {
				s.Paused, s.PausedBecause = true, "the receiver answered with 410 Gone"
			}
			return nil
		})
		w.post(func() {
			if err != nil && w.ctx.Err() == nil {
				w.log.Warn("a subscription whose receiver is gone is not paused", "error", err)
				time.AfterFunc(trouble, func() { w.post(func() { w.pausing = false }) })
				return
			}
			w.log.Info("a subscription is paused: its receiver answered with 410 Gone")
		})
	}()
}

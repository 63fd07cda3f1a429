package webhook

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"time"

	"ottla/protocol"
)

// plan begins to read what follows in a lane, unless it knows enough already.
func (w *worker) plan(l *lane, now time.Time) {
	_, records := l.room()
	if l.pending != nil || records == 0 || now.Before(l.retryAt) {
		return
	}
	l.retryAt = time.Time{}
	t, err := w.d.b.LookupTopic(w.sub.Cluster, l.topic, false, time.Time{})
	if err != nil || t.ID != l.topicID || l.partition >= t.Partitions {
		l.retryAt = now.Add(trouble)
		return
	}
	l.pending = w.d.b.StartFetch(&protocol.FetchRequest{
		Topic: t, Partition: l.partition, Offset: l.next, MaxRecords: records, MaxBytes: readBytes, Timeout: fetchTimeout, Left: w.ctx.Done(),
	})
	go w.advance(l, l.pending, l.next)
}

// advance carries a read from an offset on. While it waits for records it has no goroutine.
func (w *worker) advance(l *lane, read protocol.PendingFetch, from protocol.Offset) {
	if w.d.reads.Acquire(w.ctx, 1) != nil {
		return
	}
	reply, waits, err := read.Advance()
	facts := w.facts(reply)
	w.d.reads.Release(1)
	if waits {
		read.Park(func() { go w.advance(l, read, from) })
		return
	}
	after := protocol.Offset(0)
	if reply != nil {
		after = reply.NextOffset
	}
	w.post(func() {
		l.pending = nil
		switch {
		case w.lanes[protocol.TopicPartition{Topic: l.topic, Partition: l.partition}] != l:
		case l.next != from: // records were skipped meanwhile
		case err != nil:
			w.unread(l, err)
		default:
			l.plan(facts, after)
		}
	})
}

// facts are what planning needs of records. It keeps none of them.
func (w *worker) facts(reply *protocol.FetchReply) []recordFacts {
	if reply == nil {
		return nil
	}
	facts := make([]recordFacts, len(reply.Records))
	for i := range reply.Records {
		r := &reply.Records[i]
		facts[i] = recordFacts{offset: r.Offset, bytes: 2*(len(r.Key)+len(r.Value)+len(r.Headers)) + 256}
		if protocol.KindOfToken(r.Key) != protocol.TokenNull {
			facts[i].keyed, facts[i].key = true, maphash.Bytes(w.seed, protocol.KeyContent(nil, r.Key))
		}
	}
	return facts
}

// unread says what becomes of a lane that could not be read.
func (w *worker) unread(l *lane, err *protocol.Error) {
	now := time.Now()
	l.retryAt = now.Add(trouble)
	if earliest, ok := number(err.Details["earliest"]); ok && err.Code == protocol.CodeOffsetOutOfRange {
		why := fmt.Sprintf("records %d to %d of partition %d of topic %q were removed before they were delivered", l.next, earliest-1, l.partition, l.topic)
		w.log.Warn("records were removed before they were delivered", "topic", l.topic, "partition", l.partition, "from", l.next, "earliest", earliest)
		l.skip(protocol.Offset(earliest), now, why)
	}
}

// number is a number in the details of an error, which may come from another node.
func number(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case uint64:
		return int64(n), n <= math.MaxInt64
	case float64:
		return int64(n), true
	}
	return 0, false
}

// load reads the records of a unit. Fewer are left when compaction has removed some.
func (w *worker) load(ctx context.Context, l *lane, u *unit) (records []protocol.Record, err *protocol.Error) {
	t, err := w.d.b.LookupTopic(w.sub.Cluster, l.topic, false, time.Time{})
	if err != nil {
		return nil, err
	}
	if t.ID != l.topicID {
		return nil, protocol.Errorf(protocol.CodeTopicNotFound, "topic %q was deleted", l.topic)
	}
	for at := u.from; at < u.to; {
		if ctx.Err() != nil { // none, or a part of them, would be taken for all
			return nil, protocol.Errorf(protocol.CodeShuttingDown, "deliveries of subscription %q end", w.sub.Name)
		}
		reply, _, err := w.d.b.StartFetch(&protocol.FetchRequest{
			Topic: t, Partition: l.partition, Offset: at, MaxRecords: int(min(u.to-at, maxReadCount)), MaxBytes: 2 * readBytes,
		}).Advance()
		if err != nil {
			return nil, err
		}
		for i := range reply.Records {
			if reply.Records[i].Offset < u.to {
				records = append(records, reply.Records[i])
			}
		}
		if reply.NextOffset <= at {
			return nil, protocol.Errorf(protocol.CodeNoLeader, "partition %d of topic %q cannot be read up to %d now", l.partition, l.topic, u.to)
		}
		at = reply.NextOffset
	}
	return records, nil
}

// send delivers a unit, or has its records become dead letters.
func (w *worker) send(l *lane, u *unit) {
	u.state = sending
	w.inFlight++
	dead := l.exhausted(u)
	reason := l.note.Error
	go func() {
		then := w.deliver(l, u, dead, reason)
		w.post(func() {
			w.inFlight--
			if w.lanes[protocol.TopicPartition{Topic: l.topic, Partition: l.partition}] == l && l.has(u) {
				then()
			}
		})
	}()
}

// deliver does the work of send. It returns what the worker's goroutine has to note.
func (w *worker) deliver(l *lane, u *unit, dead bool, reason string) (then func()) {
	putOff := func() { l.later(u, time.Now().Add(trouble)) }
	need := int64(min(max(u.bytes, 1), maxSendBytes))
	if w.d.sends.Acquire(w.ctx, 1) != nil {
		return putOff
	}
	defer w.d.sends.Release(1)
	if w.d.bytes.Acquire(w.ctx, need) != nil {
		return putOff
	}
	defer w.d.bytes.Release(need)
	records, err := w.load(w.ctx, l, u)
	switch {
	case err != nil:
		return func() {
			putOff()
			w.unread(l, err)
		}
	case len(records) == 0:
		return func() { l.buried(u) }
	case dead:
		if err := w.bury(l, u, records, reason); err != nil {
			return func() {
				l.later(u, time.Now().Add(5*trouble))
				l.note.Error, l.dirty = clip("dead letters: "+err.Message), true
				w.log.Warn("a record that cannot be delivered is no dead letter yet", "topic", l.topic, "partition", l.partition, "offset", u.from, "error", err)
			}
		}
		w.d.counts[countDead].Add(uint64(len(records)))
		return func() {
			w.log.Warn("records could not be delivered and are dead letters now", "topic", l.topic, "partition", l.partition,
				"from", u.from, "to", u.to-1, "deliveries", u.attempts, "reason", reason)
			l.buried(u)
		}
	}
	from := u.from
	if l.batch == 1 { // there may be a gap in front of it, now or when it was sent before
		from = records[0].Offset
	}
	id := messageID(l.topicID, l.partition, from, u.to, l.batch)
	a := post(w.ctx, w.d.client, w.d.o.Agent, w.sub, id, body(records, l.batch, w.d.o.Render), time.Now)
	if w.ctx.Err() != nil {
		return putOff
	}
	return func() { w.settle(l, u, a) }
}

func (w *worker) settle(l *lane, u *unit, a attempt) {
	l.settle(u, a)
	switch a.verdict {
	case delivered:
		w.d.counts[countDelivered].Add(1)
		if w.failures > 0 {
			w.log.Info("deliveries succeed again", "failures", w.failures)
		}
		w.failures = 0
	case goneAway:
		w.gone = true
	case failed:
		w.d.counts[countFailed].Add(1)
		w.failures++
		if w.failures == 1 {
			w.log.Warn("a delivery failed and is tried again", "topic", l.topic, "partition", l.partition, "offset", u.from, "reason", a.reason)
		}
	}
}

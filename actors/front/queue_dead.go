package front

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// deadProducer begins the producer ids under which dead letters are written. No client
// can have one: its ids are ASCII.
const deadProducer = "queue›"

// Headers of dead letters.
const (
	deadGroupHeader      = "ottla-dead-group"
	deadTopicHeader      = "ottla-dead-topic"
	deadPartitionHeader  = "ottla-dead-partition"
	deadOffsetHeader     = "ottla-dead-offset"
	deadDeliveriesHeader = "ottla-dead-deliveries"
	deadReasonHeader     = "ottla-dead-reason"
)

// deadDoubt is how long a dead letter may have been under way before it is looked for
// in its topic: the partition may have forgotten its number by then. It is less than
// what partitions remember.
const deadDoubt = 8 * time.Minute

// bury writes dead letters, one after the other of each partition. Each has a number by
// which its topic's partition knows it: one that is written again, because nobody knows
// whether it was, is there once.
func (f *queueFeed) bury(work *routing.QueueWork) {
	for i := range work.Dying {
		d := &work.Dying[i]
		end := f.end(d.ID)
		// One at a time for each partition: the number of a dead letter must reach its
		// topic in order, or a later one would make an earlier one stale.
		if !end.burying.CompareAndSwap(false, true) {
			continue
		}
		if time.Now().Before(end.retry) {
			end.burying.Store(false)
			continue
		}
		go func() {
			done := f.buryOne(d, work.Born, end.failures == 0)
			pause := time.Duration(0)
			if end.failures++; done {
				end.failures = 0
			} else {
				pause = feedRetry << min(end.failures, maxBuryDoublings)
			}
			end.retry = time.Now().Add(pause)
			end.burying.Store(false)
			time.AfterFunc(pause, f.wake)
		}()
	}
}

// maxBuryDoublings bounds the pause between two attempts.
const maxBuryDoublings = 5

// buryOne writes one dead letter and ends its record; false if that failed. The first
// of several failures is logged.
func (f *queueFeed) buryOne(d *queue.Dying, born int64, first bool) bool {
	written, err := f.writeDead(d, born)
	if err != nil && first {
		f.queues.opt.Logger.Warn("a dead letter cannot be written yet", "group", f.feed.Group, "topic", d.Topic, "partition", d.ID.Partition, "offset", d.Offset, "error", err)
	}
	if err != nil {
		return false
	}
	slot := protocol.NewFuture[*protocol.Error]()
	f.feed.Ask(&routing.QueueBuried{Dying: *d, Written: written, Reply: slot})
	ended, come := slot.Wait(time.Now().Add(f.queues.opt.RequestTimeout))
	return come && ended == nil
}

// writeDead writes a dead letter; false if its record does not exist any more.
func (f *queueFeed) writeDead(d *queue.Dying, born int64) (bool, *protocol.Error) {
	c := f.cluster()
	if c == nil {
		return false, routing.ErrStarting
	}
	t := c.Table().Topics[d.Topic]
	if t == nil || t.ID != d.ID.TopicID {
		return false, nil
	}
	deadline := time.Now().Add(f.queues.opt.RequestTimeout)
	rec, err := f.readDying(t, d)
	if err != nil || rec == nil {
		return false, err
	}
	if err := f.queues.makeDeadLetterTopic(c, d.Topic, d.To, deadline); err != nil {
		return false, err
	}
	to := c.Table().Topics[d.To]
	if to == nil {
		return false, topicNotFound(d.To)
	}
	id := f.deadProducerID(d, born)
	by, again, err := f.queues.records.Placed(to, &protocol.PlaceQuestion{
		ID: id, Sequence: d.Seq, Partitions: func(of int) []int { return []int{d.ID.Partition % of} },
	}, deadline)
	if err != nil {
		return false, err
	}
	partition := d.ID.Partition % by.Partitions
	headers := deadHeaders(rec.Headers, f.feed.Group, d)
	// The partition may not know the number any more, so the topic itself is searched. That
	// is slow, and rare: the writer was away for minutes.
	if f.queues.opt.Millis()-d.Since > deadDoubt.Milliseconds() {
		for _, was := range append([]protocol.Placement{to.Placement()}, to.Earlier...) {
			if found, err := f.isBuried(to, d.ID.Partition%was.Partitions, headers, d); found || err != nil {
				return found, err
			}
		}
	}
	req := &protocol.ProduceRequest{
		Topic: to, Partition: partition, ProducerID: by.ID(id), Sequence: d.Seq, Again: again, Deadline: deadline,
	}
	action := protocol.ActionProduce
	if string(rec.Value) == protocol.NullToken {
		action = protocol.ActionTombstone
	}
	req.Lines.Add(f.queues.opt.Millis(), to.Name, partition, rec.Key, rec.Value, action, headers)
	f.queues.records.Produce([]*protocol.ProduceRequest{req}, deadline)
	if err := req.Result.Err; err != nil && err.Code != protocol.CodeStaleSequence { // a later one was written, so this one was
		return false, err
	}
	return true, nil
}

// deadProducerID is the producer of the dead letters of one partition of the queue.
func (f *queueFeed) deadProducerID(d *queue.Dying, born int64) string {
	return fmt.Sprintf("%s%s:%x:%s:%d", deadProducer, f.feed.Group, born, d.ID.TopicID, d.ID.Partition)
}

// readDying reads the record that dies; nil if it does not exist any more.
func (f *queueFeed) readDying(t *protocol.Topic, d *queue.Dying) (found *logfile.Record, err *protocol.Error) {
	err = f.queues.withView(t, d.ID.Partition, func(v routing.LogView, _ *routing.Leadership) *protocol.Error {
		found = nil
		if d.Offset < v.Earliest() {
			return nil
		}
		recs, err := v.Read(nil, d.Offset, 1, 1)
		switch {
		case errors.Is(err, logfile.ErrBelowStart), errors.Is(err, logfile.ErrStale):
			return errStaleView
		case err != nil:
			return unreadable(t.Name, d.ID.Partition, err)
		}
		if len(recs) > 0 && recs[0].Offset == d.Offset {
			found = &recs[0]
		}
		return nil
	})
	return found, err
}

// deadPrefix begins the names of the headers that say why a record died.
const deadPrefix = "ottla-dead-"

// deadHeaders are a record's headers with those that say why it died, in the form that
// the record's have: an object, sorted by name, or a list.
func deadHeaders(token []byte, group string, d *queue.Dying) []byte {
	why := [][2]string{
		{deadGroupHeader, group},
		{deadTopicHeader, d.Topic},
		{deadPartitionHeader, strconv.Itoa(d.ID.Partition)},
		{deadOffsetHeader, strconv.FormatInt(d.Offset, 10)},
		{deadDeliveriesHeader, strconv.Itoa(d.Count)},
		{deadReasonHeader, cmp.Or(d.Reason, "it was given back too often")},
	}
	if protocol.IsHeaderList(token) {
		return protocol.ExtendHeaderList(token, deadPrefix, why)
	}
	headers := map[string]string{}
	if len(token) > 0 {
		_ = json.Unmarshal(token, &headers) // an object of strings
	}
	for _, h := range why {
		headers[h[0]] = h[1]
	}
	dst := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = protocol.AppendJSONString(dst, name)
		dst = protocol.AppendJSONString(append(dst, ':'), headers[name])
	}
	return append(dst, '}')
}

// isBuried looks for a dead letter among those that were written since its record
// died.
func (f *queueFeed) isBuried(to *protocol.Topic, partition int, headers []byte, d *queue.Dying) (found bool, err *protocol.Error) {
	err = f.queues.withView(to, partition, func(v routing.LogView, _ *routing.Leadership) *protocol.Error {
		at, err := v.OffsetForTime(d.Since - time.Minute.Milliseconds())
		for err == nil && !found && at < v.HighWatermark() {
			next := v.HighWatermark()
			err = v.Each(max(at, v.Earliest()), 1000, scanBytes, func(r *logfile.Record) {
				found = found || slices.Equal(r.Headers, headers)
				next = r.Offset + 1
			})
			at = next
		}
		switch {
		case errors.Is(err, logfile.ErrStale), errors.Is(err, logfile.ErrBelowStart):
			return errStaleView
		case err != nil:
			return unreadable(to.Name, partition, err)
		}
		return nil
	})
	return found, err
}

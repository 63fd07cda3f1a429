package front

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// onGiven delivers the records that a queue has given to the poll. Without any the
// poll waits, until the queue calls it.
func (p *poll) onGiven() pollState {
	given := p.share.Queue.Given
	switch {
	case p.req.RecordCursors:
		p.giveBack(given, nil)
		p.leave()
		return p.fail(protocol.Errorf(protocol.CodeNotAllowed, "group %q is a queue: it is polled, and has no streams", p.req.Group))
	case len(given) == 0 && time.Now().Before(p.deadline):
		p.share.at = p.share.at[:0]
		return stateWait
	case len(given) == 0 && !p.graced:
		p.graced, p.deadline = true, time.Now().Add(queueGrace)
		return p.shareAgain()
	case len(given) == 0:
		return p.answerNothing()
	}
	p.look.begin(nil)
	missing, gone, err := p.readGiven(given)
	if err == nil {
		err = keepRoom(p.req.Room, p.look.got.bytes)
	}
	switch {
	case err != nil:
		p.giveBack(given, nil)
		return p.fail(err)
	case p.front.revoked() || p.client.waited && p.clientGone():
		p.giveBack(given, nil)
		return p.answerNothing()
	}
	p.giveBack(missing, gone)
	if p.look.got.count == 0 && time.Now().Before(p.deadline) {
		return p.shareAgain()
	}
	return p.answer(nil)
}

// queueGrace is how long a poll that does not wait leaves the queue to look at what was
// written just before.
const queueGrace = 50 * time.Millisecond

// readGiven reads the records, by partition and ascending. Missing are those that could
// not be read, gone those that do not exist any more.
func (p *poll) readGiven(given []queue.Given) (missing, gone []queue.Given, err *protocol.Error) {
	slices.SortFunc(given, func(a, b queue.Given) int {
		return cmp.Or(protocol.ComparePartitionIDs(a.ID, b.ID), cmp.Compare(a.Offset, b.Offset))
	})
	need := 0
	for i := range given {
		need += given[i].Size + len(given[i].Receipt) + 2*recordOverhead
	}
	room, err := takeRoom(p.req.Room, need, max(need, p.req.MaxBytes))
	if err != nil {
		return nil, nil, err
	}
	for len(given) > 0 {
		n := 1
		for n < len(given) && given[n].ID == given[0].ID && given[n].Offset-given[n-1].Offset <= maxRunGap {
			n++
		}
		run := given[:n]
		given = given[n:]
		if p.look.got.count > 0 && p.look.got.bytes >= room {
			missing = append(missing, run...)
			continue
		}
		lost, ended := p.readRun(run, room)
		missing, gone = append(missing, lost...), append(gone, ended...)
	}
	return missing, gone, nil
}

// maxRunGap is how far apart the offsets of two records may be that are read at once.
const maxRunGap = 16

// readRun reads records of one partition that are close together.
func (p *poll) readRun(run []queue.Given, room int) (missing, gone []queue.Given) {
	t := p.topics.At(run[0].ID.TopicID)
	if t == nil || run[0].ID.Partition >= t.Partitions {
		return run, nil
	}
	left := run
	err := p.front.withView(t, run[0].ID.Partition, func(v routing.LogView, _ *routing.Leadership) *protocol.Error {
		for len(left) > 0 {
			from, to := max(left[0].Offset, v.Earliest()), left[len(left)-1].Offset
			read := int64(-1)
			err := v.Each(from, int(to-from)+1, max(1, room-p.look.got.bytes), func(r *logfile.Record) {
				read = r.Offset
				for len(left) > 0 && left[0].Offset < r.Offset {
					gone, left = append(gone, left[0]), left[1:]
				}
				if len(left) > 0 && left[0].Offset == r.Offset && (p.look.got.count == 0 || p.look.got.bytes < room) {
					p.take(&left[0], r)
					left = left[1:]
				}
			})
			switch {
			case err != nil:
				return errStaleView
			case read < 0 && to < v.HighWatermark():
				gone, left = append(gone, left...), nil
			case read < 0, p.look.got.count > 0 && p.look.got.bytes >= room:
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return left, gone
	}
	return left, gone
}

// take adds a record to the answer.
func (p *poll) take(g *queue.Given, r *logfile.Record) {
	got := &p.look.got
	next := protocol.Record{
		Topic: g.Topic, Partition: g.ID.Partition,
		Delivery: &protocol.Delivery{Receipt: g.Receipt, Count: g.Count, Deadline: g.Deadline},
	}
	if got.sink != nil && got.count == 0 {
		got.sink.Expect(g.Size + recordOverhead)
	}
	got.take(&next, r)
	got.bytes += len(g.Receipt) + recordOverhead
	if got.sink != nil {
		got.sink.Take(&next)
	} else { // what was read is only valid until the next record
		next.Key, next.Value, next.Headers = bytes.Clone(next.Key), bytes.Clone(next.Value), bytes.Clone(next.Headers)
		got.records = append(got.records, next)
	}
	if t := p.topics.At(g.ID.TopicID); t != nil {
		countFetched(t, g.ID.Partition, 1, sizeOf(&next))
	}
}

// giveBack tells the queue what does not reach the client. The poll does not wait for
// an answer: at worst it is given again after its deadline.
func (p *poll) giveBack(back, gone []queue.Given) {
	if len(back) == 0 && len(gone) == 0 {
		return
	}
	tellGroup(p.cluster, p.req.Group, &routing.GroupReturn{
		Back: refsOf(back), Gone: refsOf(gone), Reply: protocol.NewFuture[*protocol.Error](),
	})
}

func refsOf(given []queue.Given) []queue.Ref {
	refs := make([]queue.Ref, len(given))
	for i := range given {
		refs[i] = queue.Ref{ID: given[i].ID, Offset: given[i].Offset, Count: given[i].Count}
	}
	return refs
}

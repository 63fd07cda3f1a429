package front

import (
	"time"

	"ottla/actors/group"
	"ottla/actors/routing"
	"ottla/protocol"
)

// pollLook is one look at the partitions of a share, and what it has brought.
type pollLook struct {
	woken bool                    // a leader woke the poll, and perhaps others: they share what one has read; see sharedTail
	last  bool                    // what it brings is the answer, even if that is nothing
	from  []group.PartitionOffset // the positions before it
	got   gathered
	gaps  []protocol.Gap  // positions below the starts of their logs
	gap   *protocol.Error // the refusal of the first of them
	views []pollView      // of the pass that is under way
}

// begin makes it the next look, which has brought nothing yet.
func (l *pollLook) begin(at []group.PartitionOffset) {
	l.got.forget()
	l.gaps, l.gap = nil, nil
	l.from = append(l.from[:0], at...)
}

// onRead reads the partitions. If they have nothing, the poll waits. Before records are
// delivered it looks whether the client is there: what is delivered with auto_commit to
// nobody is lost to the group.
func (p *poll) onRead() pollState {
	// Before anything is read: what was let in with may have ended while the group was
	// asked.
	if p.polls.revoked() {
		return p.onClientGone()
	}
	if err := p.read(); err != nil {
		p.leave()
		return p.fail(err)
	}
	if p.look.got.count == 0 && p.look.gap != nil {
		if !p.req.SkipGaps {
			p.leave()
			return p.fail(p.look.gap)
		}
		return stateDeliver
	}
	if p.look.got.count == 0 && !p.look.last && time.Now().Before(p.deadline) {
		return stateWait
	}
	// The poll may have waited for records, or for a coordinator that is slow to answer.
	if p.look.got.count > 0 && (p.client.waited || time.Since(p.client.alive) > minAliveInterval) && p.clientGone() {
		return p.onClientGone()
	}
	return stateDeliver
}

// read collects records from the assigned partitions, and moves the positions
// past them. While a partition has no leader the others are read; only if they
// have nothing is the leader waited for.
func (p *poll) read() *protocol.Error {
	p.look.begin(p.share.at)
	leaderless, err := p.readAll(0)
	// A partition that is between two leaders must not hold back the records of others,
	// nor, when they have none, be taken for one that has none.
	if err == nil && p.look.got.count == 0 && leaderless {
		_, err = p.readAll(routing.FailoverPatience)
	}
	if err != nil {
		return err
	}
	return keepRoom(p.req.Room, p.look.got.bytes)
}

// pollPass is one pass over the partitions of a poll: what may still be read.
type pollPass struct {
	turn           int // which partition is first: another one each time, so that none starves
	records        int
	bytes          int
	roomTaken      bool // for all that follows, when the first partition with records was found
	leaderPatience time.Duration
	views          []pollView // by partition, as far as taken: asked for once in a pass
}

// pollView is what may be read of a partition, and who leads it.
type pollView struct {
	routing.LogView
	leader *routing.Leadership
}

// readAll is one pass over the partitions. Without patience those that have no
// leader are left out, and reported.
func (p *poll) readAll(patience time.Duration) (leaderless bool, err *protocol.Error) {
	if len(p.share.at) == 0 {
		return false, nil
	}
	pass := pollPass{records: p.req.MaxRecords, bytes: p.req.MaxBytes, leaderPatience: patience}
	pass.turn = int(p.cluster.Turns.Next() % uint64(len(p.share.at)))
	p.look.views = append(p.look.views[:0], make([]pollView, len(p.share.at))...)
	pass.views = p.look.views
	for i := range p.share.at {
		if pass.records <= 0 || pass.bytes <= 0 {
			break
		}
		missed, err := p.readPartition(&pass, i)
		if err != nil {
			return leaderless, err
		}
		leaderless = leaderless || missed
	}
	return leaderless, nil
}

// readPartition reads the partition that is number i of a pass.
func (p *poll) readPartition(pass *pollPass, i int) (leaderless bool, err *protocol.Error) {
	at := &p.share.at[(pass.turn+i)%len(p.share.at)]
	t := p.topics.At(at.TopicID)
	if t == nil {
		return false, nil
	}
	v, err := p.view(pass, t, (pass.turn+i)%len(p.share.at), pass.leaderPatience)
	if err != nil && pass.leaderPatience == 0 {
		return true, nil
	}
	if err != nil || int64(at.Offset) >= v.HighWatermark() {
		return false, err
	}
	if !pass.roomTaken {
		need := p.need(pass, i)
		if pass.bytes, err = takeRoom(p.req.Room, need, p.req.MaxBytes); err != nil {
			return false, err
		}
		pass.roomTaken = true
	}
	got := &p.look.got
	records, bytes := got.count, got.bytes
	if p.look.woken {
		got.waited = v.leader
	}
	err = got.read(v, at.Topic, at.Partition, int64(at.Offset), pass.records, pass.bytes)
	if err != nil && err.Code == protocol.CodeOffsetOutOfRange {
		// Retention has removed what the group had not read. The client decides whether
		// that is an error.
		p.noteGap(at, v, err)
		if !p.req.SkipGaps || int64(at.Offset) >= v.HighWatermark() {
			return false, nil // it does not hold the others back
		}
		err = got.read(v, at.Topic, at.Partition, int64(at.Offset), pass.records, pass.bytes)
	}
	if err == errStaleView {
		return false, nil // the next look takes a newer one
	}
	if err != nil {
		return false, err
	}
	records, bytes = got.count-records, got.bytes-bytes
	pass.records -= records
	pass.bytes -= bytes
	if records == 0 {
		at.Offset = protocol.Offset(v.HighWatermark()) // compaction left nothing up to there
		return false, nil
	}
	countFetched(t, at.Partition, records, bytes)
	at.Offset = got.last + 1
	return false, nil
}

// view is what may be read of the partition at that place of the share.
func (p *poll) view(pass *pollPass, t *protocol.Topic, place int, patience time.Duration) (v *pollView, err *protocol.Error) {
	// The same view for the estimate and for the read, so that memory is asked for what is
	// read.
	v = &pass.views[place]
	if v.LogView == nil {
		v.LogView, v.leader, err = p.polls.view(t, p.share.at[place].Partition, patience)
	}
	return v, err
}

// noteGap notes that the records at a position were removed. With SkipGaps the
// position moves to the first that is left, or to what is committed beyond it.
func (p *poll) noteGap(at *group.PartitionOffset, v routing.LogView, err *protocol.Error) {
	gap := protocol.Gap{
		Topic: at.Topic, Partition: at.Partition, Asked: at.Offset,
		Earliest: protocol.Offset(v.Earliest()), Latest: protocol.Offset(v.HighWatermark()),
	}
	for _, known := range p.look.gaps {
		if known.Topic == gap.Topic && known.Partition == gap.Partition {
			return // of an earlier pass
		}
	}
	p.look.gaps = append(p.look.gaps, gap)
	if p.look.gap == nil {
		p.look.gap = err
	}
	if !p.req.SkipGaps {
		return
	}
	at.Offset = gap.Earliest
	for _, a := range p.share.Assigned {
		if a.TopicID == at.TopicID && a.Partition == at.Partition && a.Committed != nil {
			at.Offset = max(at.Offset, *a.Committed)
		}
	}
}

// need estimates how many bytes there are to read in the partitions of a pass
// from number first on.
func (p *poll) need(pass *pollPass, first int) int {
	// An estimate of all partitions together, so that memory is asked for once: several
	// requests, each of which holds some and waits for more, would block each other.
	sum, left := 0, int64(p.req.MaxRecords)
	for i := first; i < len(p.share.at); i++ {
		place := (pass.turn + i) % len(p.share.at)
		at := &p.share.at[place]
		t := p.topics.At(at.TopicID)
		if t == nil || left <= 0 || sum >= p.req.MaxBytes {
			continue
		}
		v, err := p.view(pass, t, place, 0)
		if err != nil || int64(at.Offset) >= v.HighWatermark() {
			continue
		}
		sum += estimate(v, int64(at.Offset), int(left), p.req.MaxBytes)
		left -= v.HighWatermark() - int64(at.Offset)
	}
	return min(sum, p.req.MaxBytes+p.req.MaxRecords*recordOverhead)
}

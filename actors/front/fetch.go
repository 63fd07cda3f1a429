package front

import (
	"errors"
	"time"

	"ottla/actors/routing"
	"ottla/logfile"
	"ottla/protocol"
)

// fetch is one read of a partition without a group. It has no goroutine of its own: whoever
// carries it on calls Advance and Park in turn.
//
// A read that finds nothing registers a waiter at the leader that it has looked at, for the
// offset it has not found. The leader compares the two when the waiter arrives, so records
// that come between the look and the registration wake it at once. Whoever is woken looks
// again, and so finds out by itself when the leader is another one.
type fetch struct {
	parker
	records    *recordService
	req        *protocol.FetchRequest
	deadline   time.Time
	waiter     *protocol.Waiter
	reply      *protocol.FetchReply // of the last look
	leader     *routing.Leadership  // who led then; the waiter registers there
	at         protocol.Offset      // what it waits for
	registered bool                 // the waiter is registered at leader since the last look
}

// Fetch reads a partition, waiting up to req.Timeout for a first record.
func (rs *recordService) Fetch(req *protocol.FetchRequest) (*protocol.FetchReply, *protocol.Error) {
	return await(rs.StartFetch(req))
}

// StartFetch begins a read that its caller carries on; see protocol.Pending.
func (rs *recordService) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	return &fetch{records: rs, req: req, deadline: time.Now().Add(req.Timeout)}
}

// Advance implements protocol.Pending.
func (f *fetch) Advance() (reply *protocol.FetchReply, waits bool, err *protocol.Error) {
	woken := false
	if f.parked {
		f.records.parked.remove(&f.parker)
		woken = f.unpark()
		switch {
		// Nothing has come, so what the last look brought, nothing, is the answer. One that
		// was woken looks once more, also when its time is over.
		case !woken && f.over(), f.records.revoked():
			f.leader.Unregister(f.waiter)
			return f.reply, false, nil
		case !woken:
			return nil, true, nil // it was nudged for others
		}
		// The leader forgets a waiter that it wakes. It may also have been another cause,
		// and then it is registered twice, which does no harm.
		f.registered = false
	}
	got := gathered{sink: f.req.Sink}
	if err := f.look(&got, woken); err != nil {
		return nil, false, err
	}
	if got.count == 0 && time.Now().Before(f.deadline) {
		return nil, true, nil
	}
	countFetched(f.req.Topic, f.req.Partition, got.count, got.bytes)
	return f.reply, false, nil
}

// look reads what there is. woken says that a leader woke the read, and perhaps
// others: they share what one has read.
func (f *fetch) look(got *gathered, woken bool) *protocol.Error {
	read := func(v routing.LogView, leader *routing.Leadership) (err *protocol.Error) {
		f.leader, f.at = leader, protocol.Offset(v.HighWatermark())
		if f.req.Timestamp == nil {
			f.at = max(f.at, f.req.Offset)
		}
		if woken {
			got.waited = leader
		}
		f.reply, err = readView(got, v, f.req)
		return err
	}
	// Who has asked for that wants what this node leads, or to be sent to the one that does.
	if f.req.Near {
		return f.records.withNearView(f.req.Topic, f.req.Partition, read)
	}
	patience := routing.FailoverPatience
	if f.req.Impatient {
		patience = 0
	}
	return f.records.withViewWithin(patience, f.req.Topic, f.req.Partition, read)
}

// Park implements protocol.Pending.
func (f *fetch) Park(resume func()) {
	if f.waiter == nil {
		f.waiter = protocol.NewWaiter(f.wake)
	}
	// Only now, because most reads never wait, and watching a connection costs something.
	if f.req.Watch != nil {
		f.req.Left, f.req.Watch = f.req.Watch(), nil
	}
	if !f.registered {
		f.leader.Register(f.waiter, f.at)
		f.registered = true
	}
	f.setTimer(f.deadline)
	f.records.parked.add(&f.parker, f.req.Done, f.records.stopped)
	f.park(resume, f.req.Left, f.req.Done, f.records.stopped, f.records.access.Who.Ended())
}

// over reports that nothing is waited for any more: the time is up, the client
// left, or the process ends, of which Done is the front end's word.
func (f *fetch) over() bool {
	return !time.Now().Before(f.deadline) || closed(f.req.Left) || closed(f.req.Done) || closed(f.records.stopped)
}

// readView reads what one view of a partition has. A view does not change: the end, the
// start and the records of one answer belong together, whatever is written meanwhile.
func readView(got *gathered, v routing.LogView, req *protocol.FetchRequest) (*protocol.FetchReply, *protocol.Error) {
	offset := int64(req.Offset)
	if req.Timestamp != nil {
		at, err := v.OffsetForTime(*req.Timestamp)
		if errors.Is(err, logfile.ErrStale) {
			return nil, errStaleView
		}
		if err != nil {
			return nil, unreadable(req.Topic.Name, req.Partition, err)
		}
		offset = at
	}
	// Not moved to what is left: the client would miss records and not know it.
	if offset < v.Earliest() {
		return nil, outOfRange(req.Topic.Name, req.Partition, offset, v)
	}
	if err := readInto(got, v, req, offset); err != nil {
		return nil, err
	}
	reply := &protocol.FetchReply{
		Records: got.records, NextOffset: protocol.Offset(offset),
		HighWatermark: protocol.Offset(v.HighWatermark()), Earliest: protocol.Offset(v.Earliest()),
	}
	switch {
	case got.count > 0:
		reply.NextOffset = got.last + 1
	case offset < v.HighWatermark():
		reply.NextOffset = reply.HighWatermark // compaction left nothing up to there
	}
	return reply, nil
}

// readInto reads what is asked for as far as there is room for it.
func readInto(got *gathered, v routing.LogView, req *protocol.FetchRequest, offset int64) *protocol.Error {
	if offset < v.HighWatermark() {
		bytes, err := takeRoom(req.Room, estimate(v, offset, req.MaxRecords, req.MaxBytes), req.MaxBytes)
		if err != nil {
			return err
		}
		if err := got.read(v, req.Topic.Name, req.Partition, offset, req.MaxRecords, bytes); err != nil {
			return err
		}
	}
	return keepRoom(req.Room, got.bytes)
}

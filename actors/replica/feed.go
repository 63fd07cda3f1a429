package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"ottla/logfile"
)

// A follower that lacks what its leader does not have in memory any more is fed: what
// it lacks is read by the owner, on other goroutines, in pieces, at the pace and within
// the memory that the owner has for that, and goes to raft when it is there. Raft remains
// who decides what is sent, and when; what it asks for before it was read is "compacted",
// and the snapshot that it asks for next "temporarily unavailable": it then sends nothing,
// and leaves the follower's progress as it is. A feed goes on where the follower has said
// that its log ends (raft's match), so nothing of it needs to survive anything.

const (
	// ReadBytes is how many bytes a Read reads, unless a single entry is larger.
	ReadBytes = 256 << 10
	feedAhead = 8 // pieces of one follower that are read and not acknowledged
)

// Read is a piece of the log that a follower lacks and that is not in memory.
type Read struct {
	To      uint64          // the follower
	Voter   bool            // it counts for majorities
	Behind  int64           // about how many bytes the follower lacks
	Context context.Context // ends when nobody wants the piece any more
	// Release is called once when the piece is not in memory any more, or was never
	// used, unless Context ends before. The owner may set it before it calls Fed.
	Release func()

	feed    *feed
	reader  *logfile.FrameReader
	first   uint64
	limit   uint64
	entries []raftpb.Entry
	err     error
}

// Do reads, on any goroutine, and returns the number of bytes.
func (rd *Read) Do() (bytes int) {
	_, rd.err = rd.reader.EachFrame(rd.first, rd.limit, ReadBytes, func(f *logfile.Frame) error {
		e, err := entryOf(f)
		if err == nil {
			rd.entries = append(rd.entries, e)
			bytes += e.Size()
		}
		return err
	})
	return bytes
}

func (rd *Read) release() {
	rd.entries = nil
	if rd.Release != nil {
		rd.Release()
	}
}

func (rd *Read) last() uint64 { return rd.first + uint64(len(rd.entries)) - 1 }

// feed is one follower that is fed.
type feed struct {
	to      uint64
	next    uint64  // the entry to be read next
	limit   uint64  // those before it are on the disk
	pieces  []*Read // read and not acknowledged; one follows the other, up to next
	reading *Read   // under way, nil: none
	sent    uint64  // the last entry of pieces that raft has sent
	prodded uint64  // the entry for which raft was told last that it is there
	match   uint64  // what the follower has, as of the last look
	idle    int     // ticks since that moved
	ctx     context.Context
	end     context.CancelFunc
}

// feeds are what a leader has of them. The zero value has none.
type feeds struct {
	all    []*feed
	missed []span // what raft has asked for that is not in memory
	silent bool   // raft is to send nothing in its place
}

// span is some entries: first to limit-1.
type span struct{ first, limit uint64 }

// of is the feed of a follower, nil if it has none.
func (fs *feeds) of(to uint64) *feed {
	for _, f := range fs.all {
		if f.to == to {
			return f
		}
	}
	return nil
}

// busy reports whether there is anything to look after.
func (fs *feeds) busy() bool { return fs != nil && len(fs.all)+len(fs.missed) > 0 }

// find returns entries that were read, from lo on; nil where there are none.
func (fs *feeds) find(lo, hi, maxSize uint64) []raftpb.Entry {
	for _, f := range fs.all {
		for _, rd := range f.pieces {
			if lo >= rd.first && lo <= rd.last() {
				ents := rd.entries[lo-rd.first:]
				return limitEntries(ents[:min(uint64(len(ents)), hi-lo)], maxSize)
			}
		}
	}
	return nil
}

// miss notes what raft has asked for.
func (fs *feeds) miss(first, limit uint64) {
	fs.silent = true
	if !slices.Contains(fs.missed, span{first, limit}) {
		fs.missed = append(fs.missed, span{first, limit})
	}
}

// wanted is the feed of a follower that is to get the entries from first on.
func (fs *feeds) wanted(to uint64, s span) *feed {
	f := fs.of(to)
	if f != nil && f.next != s.first { // it is somewhere else than was thought
		fs.drop(f)
		f = nil
	}
	if f == nil {
		f = &feed{to: to, next: s.first, sent: s.first - 1}
		f.ctx, f.end = context.WithCancel(context.Background())
		fs.all = append(fs.all, f)
	}
	f.limit = max(f.limit, s.limit)
	return f
}

// drop ends a feed.
func (fs *feeds) drop(f *feed) {
	fs.all = slices.DeleteFunc(slices.Clone(fs.all), func(o *feed) bool { return o == f })
	f.end()
	for _, rd := range f.pieces {
		rd.release()
	}
	f.pieces = nil
}

// stop ends all of them.
func (fs *feeds) stop() {
	if fs == nil {
		return
	}
	for _, f := range fs.all {
		fs.drop(f)
	}
	fs.missed = nil
}

// acknowledged takes back the pieces that the follower has.
func (f *feed) acknowledged(match uint64) {
	if match != f.match {
		f.match, f.idle = match, 0
	}
	for len(f.pieces) > 0 && f.pieces[0].last() <= match {
		f.pieces[0].release()
		f.pieces = f.pieces[1:]
	}
}

// follower is what raft knows of one.
type follower struct {
	id, match, next uint64
	state           tracker.StateType
	active, voter   bool
}

func (r *Replica) followers() (all []follower) {
	r.rn.WithProgress(func(id uint64, typ raft.ProgressType, pr tracker.Progress) {
		if id != r.id.ReplicaID {
			all = append(all, follower{id, pr.Match, pr.Next, pr.State, pr.RecentActive, typ != raft.ProgressTypeLearner})
		}
	})
	return all
}

// feedFollowers looks after the feeds, and reports whether raft has something to do
// for it.
func (r *Replica) feedFollowers() (prodded bool) {
	fs := r.storage.feeds
	if r.failed != nil || !fs.busy() {
		return false
	}
	missed := fs.missed
	fs.missed, fs.silent = nil, false
	followers := r.followers()
	for _, f := range fs.all {
		if !slices.ContainsFunc(followers, func(p follower) bool { return p.id == f.to && p.state != tracker.StateSnapshot }) {
			fs.drop(f)
		}
	}
	for _, p := range followers {
		if i := slices.IndexFunc(missed, func(s span) bool { return s.first == p.next }); i >= 0 && p.state != tracker.StateSnapshot {
			fs.wanted(p.id, missed[i])
		}
		f := fs.of(p.id)
		if f == nil {
			continue
		}
		f.acknowledged(p.match)
		if p.next > f.next || !r.readNext(f, &p) && len(f.pieces) == 0 && f.reading == nil {
			fs.drop(f) // what it lacks now is in memory
			continue
		}
		if p.active && len(f.pieces) > 0 && p.next > f.sent && p.next < f.next && f.prodded != p.next {
			f.prodded = p.next
			prodded = true
			r.prod(p.id)
		}
	}
	return prodded
}

// readNext asks for the next piece, and reports whether there is one to be had, now or
// later. Nothing is read ahead of what a follower has not answered yet.
func (r *Replica) readNext(f *feed, p *follower) bool {
	s := r.storage
	if f.next >= f.limit || len(s.entries) > 0 && f.next >= s.first {
		return false
	}
	if f.reading != nil || len(f.pieces) >= feedAhead || len(f.pieces) > 0 && p.state == tracker.StateProbe {
		return true
	}
	limit := f.limit
	if len(s.entries) > 0 {
		limit = min(limit, s.first)
	}
	f.reading = &Read{To: f.to, Voter: p.voter, Behind: r.log.BytesAfter(f.next - 1), Context: f.ctx, feed: f, reader: r.log.Reader(), first: f.next, limit: limit}
	r.fx.Reads = append(r.fx.Reads, f.reading)
	return true
}

// prod has raft send what it has not sent yet. Raft does that by itself when the
// follower answers a heartbeat; this is such an answer, of a follower that has given
// one since raft last looked: so raft learns nothing from it that is not so.
func (r *Replica) prod(to uint64) {
	m := raftpb.Message{Type: raftpb.MsgHeartbeatResp, From: to, To: r.id.ReplicaID}
	if err := r.rn.Step(m); err != nil {
		r.cfg.Logger.Debug("raft does not send on", "to", to, "error", err)
	}
}

// Fed takes a piece that was read.
func (r *Replica) Fed(rd *Read) {
	f, fs := rd.feed, r.storage.feeds
	if r.failed != nil || fs == nil || fs.of(f.to) != f || f.reading != rd {
		rd.release()
		return
	}
	f.reading = nil
	if rd.err == nil {
		f.pieces = append(f.pieces, rd)
		f.next = rd.last() + 1
		r.drain()
		return
	}
	fs.drop(f)
	rd.release()
	if bad := (*logfile.CorruptError)(nil); !errors.As(rd.err, &bad) && rd.first >= r.log.FirstIndex() && !passes(rd.err) {
		r.Fail(fmt.Errorf("read entries %d to %d: %w", rd.first, rd.limit, rd.err))
	} // damage is told to whoever asked for that, see logfile.Log.OnDamage
}

// passes reports whether raft need only ask again.
func passes(err error) bool {
	for _, is := range []error{logfile.ErrStale, logfile.ErrBeyondEnd, logfile.ErrBelowStart, logfile.ErrClosed} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// isFed reports whether an append message is of what was read for its follower, or
// behind that: one that overtakes another is refused, and all begins anew.
func (fs *feeds) isFed(m *raftpb.Message) bool {
	if fs == nil || m.Type != raftpb.MsgApp {
		return false
	}
	f := fs.of(m.To)
	if f == nil || len(f.pieces) == 0 {
		return false
	}
	if n := len(m.Entries); n > 0 {
		f.sent = max(f.sent, m.Entries[n-1].Index)
	}
	return true
}

// feedTick gives up feeds of followers that acknowledge nothing for an election
// timeout: they hold memory that others could use. Raft asks for a follower that is
// still there again.
func (r *Replica) feedTick() {
	fs := r.storage.feeds
	if !fs.busy() {
		return
	}
	for _, f := range fs.all {
		f.prodded = 0
		if len(f.pieces) == 0 {
			f.idle = 0 // it waits for its turn
		}
		if f.idle++; f.idle > r.cfg.ElectionTicks {
			fs.drop(f)
			r.rn.ReportUnreachable(f.to)
		}
	}
}

// Lag is how far a follower that is fed is behind.
type Lag struct {
	Replica uint64
	Bytes   int64           // of the log, about
	Context context.Context // of its Reads
}

// Lags lists the followers that are fed; none on a follower.
func (r *Replica) Lags() (all []Lag) {
	if !r.storage.feeds.busy() {
		return nil
	}
	for _, f := range r.storage.feeds.all {
		all = append(all, Lag{f.to, r.log.BytesAfter(max(f.match, f.pieceBefore())), f.ctx})
	}
	return all
}

// pieceBefore is the entry before the first that was read.
func (f *feed) pieceBefore() uint64 {
	if len(f.pieces) > 0 {
		return f.pieces[0].first - 1
	}
	return f.next - 1
}

// Intact reports whether the entries of a message are what their leader made. What
// came from another node is asked that before it is written.
func Intact(m *raftpb.Message) error {
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Type != raftpb.EntryNormal || len(e.Data) == 0 {
			continue
		}
		h, body, err := parseEntryHeader(e.Data)
		if err != nil {
			return err
		}
		if logfile.Checksum(body) != h.bodySum {
			return fmt.Errorf("entry %d of term %d arrived damaged", e.Index, e.Term)
		}
	}
	return nil
}

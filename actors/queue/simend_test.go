package queue

import (
	"github.com/stretchr/testify/require"

	"ottla/actors/level"
)

// checkSaid checks what a worker is told of a record that is ended: an ack is good of the
// delivery that has ended it, and no other.
func (s *sim) checkSaid(r *simRecord, w *Word, receipt *Receipt, was bool, verdict Verdict) {
	switch {
	case w.Verb != Ack, receipt.Offset < s.logs[receipt.ID].earliest:
	case !was:
		if verdict == Done {
			r.endedBy = receipt.Count
		}
	case r.ackSaid && r.endedBy > 0 && r.deads == 0 && (verdict == Done) != (receipt.Count == r.endedBy):
		known := s.state.parts[receipt.ID].endings
		_, is := known.of[receipt.Offset]
		switch {
		case verdict == Stale && !is && receipt.Offset < known.forgotten: // nobody knows
		case verdict == Done && !is && s.forgets && s.level >= level.Endings.Level: // likewise
		default:
			s.fail("%v %d was ended by delivery %d; an ack of delivery %d: verdict %d", receipt.ID, receipt.Offset, r.endedBy, receipt.Count, verdict)
		}
	case r.deads > 0 && verdict == Done && !r.acked:
		s.fail("%v %d is a dead letter, and an ack was taken", receipt.ID, receipt.Offset)
	}
}

// drain has workers that acknowledge everything until all is ended.
func (s *sim) drain() {
	s.held = nil
	for range 5000 {
		s.commit(len(s.order))
		s.feed()
		s.commit(len(s.order))
		for _, d := range s.state.Dying() {
			r := &s.logs[d.ID].records[d.Offset]
			written := !r.missing && d.Offset >= s.logs[d.ID].earliest
			if written && d.Seq > s.dead[d.ID] {
				s.dead[d.ID] = d.Seq
				r.deads++
			}
			s.propose(s.state.Buried(s.now, d.ID, d.Offset, d.Seq, written), nil)
		}
		got, recs, err := s.state.Give(s.now, &Ask{ClusterID: "c", Consumer: 2, Topics: []string{"id-a", "id-b"}, MaxRecords: 1000, MaxBytes: 1 << 20})
		require.Nil(s.t, err)
		var receipts []*Receipt
		for i := range got {
			s.checkGiven(&got[i])
			receipt, rerr := DecodeReceipt(got[i].Receipt)
			require.Nil(s.t, rerr)
			receipts = append(receipts, receipt)
			s.logs[got[i].ID].records[got[i].Offset].ackSaid = true
		}
		s.propose(recs, nil)
		_, recs = s.state.Say(s.now, &Word{Verb: Ack}, receipts)
		s.propose(recs, nil)
		s.commit(len(s.order))
		s.check()
		done := true
		for _, id := range s.ids {
			l := s.logs[id]
			p := s.state.parts[id]
			done = done && p != nil && p.position == int64(len(l.records))
			if done && len(p.nodes) > 0 {
				s.fail("all is ended, and %d nodes are left", len(p.nodes))
			}
		}
		if done {
			s.end()
			return
		}
		if at := s.state.NextTick(); len(got) == 0 && at > s.now {
			s.now = at
		}
	}
	s.fail("not all records end:\n%s", s.state.Dump())
}

// end checks the end: every record was acknowledged, is a dead letter, or was removed.
func (s *sim) end() {
	for _, id := range s.ids {
		l := s.logs[id]
		for o := max(l.start, l.earliest); o < int64(len(l.records)); o++ {
			if r := &l.records[o]; !r.over() || r.deads > 1 || r.acked && r.deads > 0 {
				s.fail("%v %d: %+v", id, o, *r)
			}
		}
	}
	for _, token := range s.every { // workers that come very late
		receipt, err := DecodeReceipt(token)
		require.Nil(s.t, err)
		w := &Word{}
		verdicts, recs := s.state.Say(s.now, w, []*Receipt{receipt})
		require.Empty(s.t, recs)
		s.checkSaid(&s.logs[receipt.ID].records[receipt.Offset], w, receipt, true, verdicts[0])
	}
	if live, again := s.state.Dump(), s.replayed().Dump(); live != again {
		s.fail("replayed:\n%s\nlive:\n%s", again, live)
	}
	pages := 0
	for _, p := range s.state.parts {
		if pages += len(p.endings.pages); p.endings.pages[0] == nil && p.endings.has(0) {
			pages++
		}
	}
	if s.state.tracked != 0 || s.state.inFlight() != 0 || len(s.known) > 1+len(s.logs)+pages {
		s.fail("%d tracked, %d in flight, %d records are left", s.state.tracked, s.state.inFlight(), len(s.known))
	}
}

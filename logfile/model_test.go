package logfile_test

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// model is what a log should hold.
type model struct {
	first          uint64
	base           int64
	frames         []logfile.Frame
	term, vote     uint64
	committed      uint64
	durable        int // how many of frames were synced
	durTerm, durVo uint64
}

// TestRandomHistories runs random operations against the model, with kills and
// power cuts in between, and compares after each.
func TestRandomHistories(t *testing.T) {
	for seed := int64(0); seed < 60; seed += int64(stride(3)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := &history{t: t, rnd: rand.New(rand.NewSource(seed)), d: faultfs.New(), opt: options("boot-0")}
			h.opt.SegmentBytes = 400 + h.rnd.Int63n(1500)
			h.opt.LargeBody = []int{0, 1, 300, 700}[seed%4] // copied, not copied, and both in a batch
			h.opt.Cache = logfile.NewHandleCache(1+h.rnd.Intn(3), 1)
			h.l = create(t, h.d, h.opt)
			h.m = model{first: 1, term: 1}
			for range 120 {
				h.step()
				for range h.rnd.Intn(4) {
					h.opt.Cache.CloseIdle() // twice closes what the last step used
				}
				h.check()
			}
		})
	}
}

type history struct {
	t     *testing.T
	rnd   *rand.Rand
	d     *faultfs.FS
	opt   logfile.Options
	l     *logfile.Log
	m     model
	boots int
}

func (h *history) last() uint64 { return h.m.first + uint64(len(h.m.frames)) - 1 }

func (h *history) next() int64 {
	next := h.m.base
	for _, f := range h.m.frames {
		next = f.BaseOffset + int64(f.Count)
	}
	return next
}

// lines makes 1 to 4 entries after the model's end.
func (h *history) lines() []logfile.Frame {
	var fs []logfile.Frame
	index, base := h.last(), h.next()
	for range 1 + h.rnd.Intn(4) {
		index++
		f := empty(index, h.m.term, base)
		if n := h.rnd.Intn(4); n > 0 {
			f = records(index, h.m.term, base, n, `"`+strings.Repeat("v", h.rnd.Intn(300))+`"`)
			base += int64(n)
		}
		fs = append(fs, f)
	}
	return fs
}

func (h *history) step() {
	var b logfile.Batch
	switch k := h.rnd.Intn(20); {
	case k < 9:
		h.append(&b)
	case k < 11 && h.last() > h.m.committed: // a conflicting suffix
		at := h.m.committed + 1 + uint64(h.rnd.Int63n(int64(h.last()-h.m.committed)))
		h.m.frames = h.m.frames[:at-h.m.first]
		h.m.durable = min(h.m.durable, len(h.m.frames))
		h.m.term++
		h.append(&b)
	case k < 12:
		h.m.term++
		h.m.vote = uint64(h.rnd.Intn(3))
		h.l.SetHardState(&b, h.m.term, h.m.vote)
	case k < 14:
		h.commit()
	case k < 15:
		h.trim(&b)
	case k < 16:
		h.l.StageSyncMark(&b)
	case k < 17:
		h.l.Roll(&b)
	case k < 18 && h.rnd.Intn(4) == 0:
		h.reset(&b)
	default:
		h.reopen()
		return
	}
	run(h.t, &b)
	h.m.durable, h.m.durTerm, h.m.durVo = len(h.m.frames), h.m.term, h.m.vote
	h.l.Synced(h.last())
}

// append also leaves some batches to the next power cut.
func (h *history) append(b *logfile.Batch) {
	fs := h.lines()
	if fs[0].Term > h.m.durTerm {
		h.m.vote = 0
		h.l.SetHardState(b, h.m.term, 0)
	}
	require.NoError(h.t, h.l.Append(b, fs))
	h.m.frames = append(h.m.frames[:len(h.m.frames):len(h.m.frames)], fs...)
}

func (h *history) commit() {
	if h.m.durable > 0 {
		h.m.committed = max(h.m.committed, h.m.first+uint64(h.rnd.Intn(h.m.durable)))
	}
	h.l.Committed(h.m.committed)
	h.l.SetApplied(h.m.committed, fmt.Appendf(nil, "conf %d", h.m.committed), nil)
}

func (h *history) trim(b *logfile.Batch) {
	to := h.l.LogStart()
	for _, f := range h.m.frames {
		if f.Index <= h.m.committed && h.rnd.Intn(3) > 0 {
			to = f.BaseOffset
		}
	}
	h.l.SetLogStart(b, to)
	require.LessOrEqual(h.t, h.l.FirstIndex(), h.m.committed+1)
	n := h.l.FirstIndex() - h.m.first
	if n > 0 {
		h.m.base = h.m.frames[n-1].BaseOffset + int64(h.m.frames[n-1].Count)
	}
	h.m.frames, h.m.first, h.m.durable = h.m.frames[n:], h.m.first+n, h.m.durable-int(n)
}

func (h *history) reset(b *logfile.Batch) {
	at, offset := h.last()+uint64(h.rnd.Intn(20)), h.next()+h.rnd.Int63n(50)
	h.l.Reset(b, logfile.Checkpoint{Index: at, Term: h.m.term, Applied: at, NextOffset: offset, LogStart: offset})
	h.m.first, h.m.base, h.m.frames, h.m.committed = at+1, offset, nil, at
}

// reopen closes the log cleanly, kills the process, or cuts the power, the
// latter two with an unsynced batch under way.
func (h *history) reopen() {
	lost := 0
	how := h.rnd.Intn(3)
	if how > 0 {
		var b logfile.Batch
		fs := h.lines()
		require.NoError(h.t, h.l.Append(&b, fs))
		h.d.StopAfter(h.rnd.Intn(3))
		_ = b.Execute()
		h.opt.Cache.CloseIdle()
		h.opt.Cache.CloseIdle()
		h.m.frames = append(h.m.frames[:len(h.m.frames):len(h.m.frames)], fs...)
		lost = len(fs)
	}
	_ = h.l.Close()
	switch how {
	case 0:
	case 1:
		h.d.Restart()
	case 2:
		h.boots++
		h.opt.BootID = fmt.Sprint("boot-", h.boots)
		h.d.PowerCut(h.rnd)
	}
	var rec *logfile.Recovered
	h.l, rec = open(h.t, h.d, h.opt)
	require.LessOrEqual(h.t, rec.LastIndex, h.last())
	require.GreaterOrEqual(h.t, rec.LastIndex, h.last()-uint64(lost), "synced entries are lost")
	h.m.frames = h.m.frames[:rec.LastIndex+1-h.m.first]
	h.m.durable = len(h.m.frames)
	if h.m.term > rec.HardTerm { // raised in memory only
		require.Equal(h.t, h.m.durTerm, rec.HardTerm)
		require.Equal(h.t, h.m.durVo, rec.Vote)
	}
	h.m.vote = rec.Vote
	h.l.SetApplied(h.m.committed, fmt.Appendf(nil, "conf %d", h.m.committed), nil)
	h.l.Committed(h.m.committed)
}

func (h *history) check() {
	require.Equal(h.t, h.m.first, h.l.FirstIndex())
	require.Equal(h.t, h.last(), h.l.LastIndex())
	require.Equal(h.t, h.next(), h.l.NextOffset())
	got := all(h.t, h.l)
	require.Len(h.t, got, len(h.m.frames))
	var lines []string
	for i, f := range h.m.frames {
		require.Equal(h.t, f, got[i])
		term, ok := h.l.Term(f.Index)
		require.True(h.t, ok)
		require.Equal(h.t, f.Term, term)
		for line := range strings.Lines(string(f.Body)) {
			lines = append(lines, line)
		}
	}
	v := h.l.View(h.next())
	recs, err := v.Read(nil, v.Earliest(), 1<<20, 1<<30)
	require.NoError(h.t, err)
	if missing := v.Earliest() + int64(len(recs)); missing < h.next() {
		_, err = v.Read(nil, missing, 1, 1)
		require.NoError(h.t, err)
	}
	require.Len(h.t, recs, int(h.next()-v.Earliest()))
	lines = lines[len(lines)-len(recs):]
	for i, r := range recs {
		require.Contains(h.t, lines[i], fmt.Sprintf(" %d %s %s %s", r.Offset, r.Key, r.Value, r.Action))
	}
}

package logfile_test

import (
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// mendHistory is a random history of one log in three copies, with all that a log goes
// through: votes, checkpoints and sync marks that each copy has for itself, and
// retention or compaction.
type mendHistory struct {
	copies
	rnd     *rand.Rand
	logs    [3]*logfile.Log
	term    uint64
	compact bool
}

func newMendHistory(t *testing.T, seed int64) *mendHistory {
	h := &mendHistory{copies: copies{t: t, d: newDisk(t), opt: smallSegments()}, rnd: rand.New(rand.NewSource(seed)), term: 1, compact: seed%2 == 0}
	h.opt.LargeBody = []int{0, 1, 200}[seed%3] // copied, not copied, and both in a batch
	for b := range h.logs {
		l, err := logfile.Create(h.d, copyDir(b+1), copyIdentity(b+1), logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, h.opt)
		require.NoError(t, err)
		h.logs[b] = l
	}
	for range 20 + h.rnd.Intn(40) {
		h.step()
	}
	for _, l := range h.logs {
		require.NoError(t, l.Close())
	}
	return h
}

func (h *mendHistory) step() {
	switch x := h.rnd.Intn(20); {
	case x == 0:
		h.term++
		for _, l := range h.logs {
			h.run(func(b *logfile.Batch) { l.SetHardState(b, h.term, uint64(1+h.rnd.Intn(3))) })
			put(h.t, l, empty(l.LastIndex()+1, h.term, l.NextOffset()))
		}
		h.commit()
	case x == 1:
		l := h.logs[h.rnd.Intn(3)]
		h.run(l.StageCheckpoint)
	case x == 2 && h.compact:
		h.compaction()
	case x == 2:
		h.commit()
		l := h.logs[0]
		start := l.LogStart() + h.rnd.Int63n(max(l.NextOffset()-l.LogStart(), 1))
		for _, l := range h.logs {
			h.run(func(b *logfile.Batch) { l.SetLogStart(b, start) })
		}
	case x < 6:
		l := h.logs[h.rnd.Intn(3)]
		h.run(func(b *logfile.Batch) { l.StageSyncMark(b) })
	default:
		h.write()
	}
}

func (h *mendHistory) run(stage func(*logfile.Batch)) {
	var b logfile.Batch
	stage(&b)
	run(h.t, &b)
}

func (h *mendHistory) write() {
	base, n := h.logs[0].NextOffset(), 1+h.rnd.Intn(3)
	var body strings.Builder
	for at := base; at < base+int64(n); at++ {
		fmt.Fprintf(&body, "%s liked 0 %d \"k%d\" {\"n\":%d,\"pad\":%q} PRODUCE\n",
			time.UnixMilli(1000*at).UTC().Format("2006-01-02 15:04:05.000"), at, h.rnd.Intn(8), at, strings.Repeat("y", h.rnd.Intn(40)))
	}
	for _, l := range h.logs {
		put(h.t, l, frame(l.LastIndex()+1, h.term, logfile.KindRecords, base, n, body.String()))
	}
	if h.rnd.Intn(2) == 0 {
		h.commit()
	}
}

func (h *mendHistory) commit() {
	for _, l := range h.logs {
		l.Committed(l.LastIndex())
		l.SetApplied(l.LastIndex(), []byte("conf"), fmt.Appendf(nil, "as of %d", l.LastIndex()))
	}
}

func (h *mendHistory) compaction() {
	h.commit()
	l := h.logs[0]
	to, next, dirty, _ := l.CompactionDue(l.LastIndex())
	if dirty == 0 {
		return
	}
	c := logfile.Compaction{Generation: l.LastIndex(), To: to, Next: next, Start: l.LogStart(), MaxKeys: 5}
	for _, l := range h.logs {
		set, err := l.CompactionSource().Compact(c, noPace)
		require.NoError(h.t, err)
		h.run(func(b *logfile.Batch) { l.StageCompacted(b, set) })
		l.AdoptCompacted(set)
		h.run(func(b *logfile.Batch) { l.DropCompacted(b) })
	}
}

// harm overwrites some bytes of one of a copy's files, half of the time the newest.
func (h *mendHistory) harm(broker int) {
	list, err := h.d.ReadDir(copyDir(broker))
	require.NoError(h.t, err)
	var files []string
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".log") {
			files = append(files, copyDir(broker)+"/"+e.Name())
		}
	}
	path := files[len(files)-1]
	if h.rnd.Intn(2) == 0 {
		path = files[h.rnd.Intn(len(files))]
	}
	h.change(path, func(text []byte) []byte {
		from := h.rnd.Intn(len(text))
		block := text[from:min(from+[]int{1, 16, 64, 200, 512}[h.rnd.Intn(5)], len(text))]
		clear(block)
		if h.rnd.Intn(2) == 0 {
			h.rnd.Read(block)
		}
		return text
	})
}

// content is what a copy holds.
type content struct {
	recovered logfile.Recovered
	first     uint64
	frames    []logfile.Frame
	records   []logfile.Record
}

func (h *mendHistory) content(broker int) (c content, err error) {
	l, rec, err := logfile.Open(h.d.Clone(), copyDir(broker), h.opt)
	if err != nil {
		return c, err
	}
	defer func() { require.NoError(h.t, l.Close()) }()
	c.recovered, c.first = *rec, l.FirstIndex()
	for at := l.FirstIndex(); at <= l.LastIndex(); at = c.frames[len(c.frames)-1].Index + 1 {
		got, err := l.ReadFrames(at, l.LastIndex()+1, 1<<20)
		if err != nil {
			return c, err
		}
		c.frames = append(c.frames, got...)
	}
	v := l.View(l.NextOffset())
	c.records, err = v.Read(nil, v.Earliest(), 1<<20, 1<<30)
	return c, err
}

// Two copies of a random log are damaged anywhere. Damage that Open or a reader meets is
// found when the copy is examined, and what is said to be mended opens, and holds what
// was there: entries, records, log start, term and vote, and a checkpoint that is late
// enough.
func TestMendRandomLogs(t *testing.T) {
	mended := 0
	for seed := int64(0); seed < 400; seed += int64(stride(4)) {
		h := newMendHistory(t, seed)
		want, err := h.content(1)
		require.NoError(t, err)
		for range 1 + h.rnd.Intn(2) {
			h.harm(1)
		}
		h.harm(2)
		_, operr := h.content(1)
		m, err := logfile.Examine(h.d, copyDir(1), h.opt, nil)
		if err != nil {
			continue // refused
		}
		var bad *logfile.CorruptError
		require.True(t, m.Damaged() || !errors.As(operr, &bad), "seed %d: no damage is found, yet: %v", seed, operr)
		if h.mend(1, 2, 3) != nil {
			continue
		}
		got, err := h.content(1)
		require.NoError(t, err, "seed %d: mended", seed)
		if got.recovered.CutBytes > 0 {
			continue // what looks like a short write at the end is for recovery to judge
		}
		mended++
		require.Len(t, got.frames, len(want.frames), "seed %d", seed)
		equalRecords(t, want.records, got.records, fmt.Sprint("seed ", seed))
		require.Equal(t, want.recovered.LogStart, got.recovered.LogStart, "seed %d", seed)
		require.Equal(t, want.recovered.HardTerm, got.recovered.HardTerm, "seed %d", seed)
		require.Equal(t, want.recovered.Vote, got.recovered.Vote, "seed %d", seed)
		require.GreaterOrEqual(t, got.recovered.Checkpoint.Applied, got.first-1, "seed %d", seed)
	}
	require.Greater(t, mended, 100/stride(4))
}

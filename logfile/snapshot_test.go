package logfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// TestSnapshotsAcrossTruncation: a view or a reader that was made before a
// truncation reads what is below the cut, or says that the log changed. It never
// takes what it finds for damage, and lends nothing.
func TestSnapshotsAcrossTruncation(t *testing.T) {
	for cut := uint64(2); cut <= 12; cut++ {
		d := faultfs.New()
		opt := options("b")
		opt.SegmentBytes = 600
		l := create(t, d, opt)
		var old []logfile.Frame
		for range 12 {
			f := next(l, 2, `"old"`)
			old = append(old, f)
			put(t, l, f)
		}
		require.Greater(t, len(segments(t, d)), 2)
		var told []error
		l.OnDamage(func(err error) { told = append(told, err) })
		view, reader := l.View(int64(2*(cut-1))), l.Reader()
		var frames []logfile.Frame
		for i := cut; i <= 12; i++ {
			frames = append(frames, records(i, 5, int64(2*(i-1)), 2, `"new"`))
		}
		put(t, l, frames...)

		for i := uint64(1); i <= 12; i++ {
			what := fmt.Sprintf("cut at %d, entry %d", cut, i)
			got, err := reader.ReadFrames(i, i+1, 1)
			if err == nil {
				require.EqualValues(t, i, got[0].Index, what)
				require.True(t, i >= cut || bytes.Equal(old[i-1].Body, got[0].Body), what)
			} else {
				require.True(t, errors.Is(err, logfile.ErrStale) || i >= cut && errors.Is(err, logfile.ErrBelowStart), "%s: %v", what, err)
			}
			_, err = reader.Lend(logfile.Want{First: i, Last: i}, 1, 1)
			require.Error(t, err, "%s: another copy would take the new leader's entries for the old ones", what)
		}
		for offset := range view.HighWatermark() {
			recs, err := view.Read(nil, offset, 1, 1<<20)
			if err != nil {
				require.ErrorIs(t, err, logfile.ErrStale)
				continue
			}
			require.Len(t, recs, 1)
			require.Equal(t, `"old"`, string(recs[0].Value))
		}
		if _, err := view.OffsetForTime(0); err != nil {
			require.ErrorIs(t, err, logfile.ErrStale)
		}
		require.Empty(t, told, "a changed log is not damaged")
		for _, r := range mustRead(t, l.View(24), int64(2*(cut-1)), 100) {
			require.Equal(t, `"new"`, string(r.Value))
		}
	}
}

// TestDamageIsReportedOnce: a reader tells the owner of damage it meets, and not
// of a log that changed under it, or of a read error.
func TestDamageIsReported(t *testing.T) {
	d, l := smallLog(t)
	var told []error
	l.OnDamage(func(err error) { told = append(told, err) })
	path := segments(t, d)[1]
	sound, err := d.ReadFile(path)
	require.NoError(t, err)
	at := bytes.Index(sound, []byte("user-"))
	d.WriteFile(path, flip(sound, at))
	require.NoError(t, d.Remove(strings.TrimSuffix(path, ".log")+".idx"))
	v, r := l.View(20), l.Reader()
	first := int64(-1)
	for offset := range int64(20) {
		if _, err := v.Read(nil, offset, 1, 1); err != nil {
			first = offset
			break
		}
	}
	require.GreaterOrEqual(t, first, int64(0))
	require.Len(t, told, 1)
	var bad *logfile.CorruptError
	require.ErrorAs(t, told[0], &bad)
	assert.Equal(t, path, bad.Path)
	_, err = r.ReadFrames(uint64(first)+1, uint64(first)+2, 1)
	require.ErrorAs(t, err, &bad)
	_, err = v.OffsetForTime(first * 1000)
	require.Error(t, err)
	require.Len(t, told, 3, "frames and times too")

	d.WriteFile(path, sound)
	d.Fault = func(op faultfs.Op) error {
		if op.Kind == "read" {
			return errIO
		}
		return nil
	}
	_, err = v.Read(nil, 0, 1, 1)
	require.ErrorIs(t, err, errIO)
	assert.Len(t, told, 3, "a read error is no damage")
}

// An index that leads to the wrong place, with a right checksum: the read fails
// there, and the index is rebuilt from the segment.
func TestWrongIndexIsRebuilt(t *testing.T) {
	d := faultfs.New()
	opt := smallSegments()
	opt.IndexInterval = 64
	l := create(t, d, opt)
	for range 20 {
		put(t, l, next(l, 1, "1"))
	}
	want := mustRead(t, l.View(20), 0, 20)
	frames := all(t, l)
	require.NoError(t, l.Close())
	sealed := segments(t, d)
	path := strings.TrimSuffix(sealed[0], ".log") + ".idx"
	idx, err := d.ReadFile(path)
	require.NoError(t, err)
	const head, entry = len("ottla index 1\n") + 16, 40
	require.Greater(t, len(idx), head+2*entry)
	for field := range 4 { // offset, index, position of the frame, position of the line
		bad := bytes.Clone(idx[:len(idx)-4])
		for at := head + field*8; at < len(bad); at += entry {
			bad[at] += 3
		}
		sum := logfile.Checksum(bad)
		bad = append(bad, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		d.WriteFile(path, bad)
		l, _ := open(t, d, opt)
		assert.Equal(t, want, mustRead(t, l.View(20), 0, 20), "field %d", field)
		assert.Equal(t, frames, all(t, l), "field %d", field)
		require.NoError(t, l.Close())
	}
}

// TestHandleCache: so many sealed segments are open, whichever are read, and the
// ones that were read last.
func TestHandleCache(t *testing.T) {
	d := faultfs.New()
	opt := smallSegments()
	opt.SegmentBytes = 500
	opt.Cache = logfile.NewHandleCache(2, 1)
	fsys := &counting{FS: d, open: map[string]int{}}
	require.NoError(t, d.MkdirAll("/data", 0o755))
	l, err := logfile.Create(fsys, dir, identity, logfile.Checkpoint{}, opt)
	require.NoError(t, err)
	for range 30 {
		put(t, l, next(l, 1, "1"))
	}
	require.Greater(t, len(segments(t, d)), 5)
	for offset := range int64(30) {
		mustRead(t, l.View(30), offset, 1)
		assert.LessOrEqual(t, fsys.total(), 3, "two sealed ones and the active one")
	}
	opened := fsys.calls
	mustRead(t, l.View(30), 29, 1)
	mustRead(t, l.View(30), 20, 1)
	mustRead(t, l.View(30), 20, 1)
	assert.LessOrEqual(t, fsys.calls-opened, 2, "one that stays open is not opened again, but for its index")
	require.NoError(t, l.Close())
	assert.Zero(t, fsys.total(), "a closed log has no open file: %v", fsys.open)
}

// counting is a disk that knows which segments are open.
type counting struct {
	*faultfs.FS
	open  map[string]int
	calls int

	refuse error // to open a segment
}

func (c *counting) total() (n int) {
	for _, k := range c.open {
		n += k
	}
	return n
}

func (c *counting) OpenFile(name string, flag int, perm fs.FileMode) (logfile.Handle, error) {
	if c.refuse != nil && strings.Contains(name, ".log") {
		return nil, c.refuse
	}
	h, err := c.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.Contains(name, ".log") {
		return h, err
	}
	c.calls++
	c.open[filepath.Base(name)]++
	return &countedHandle{h, func() { c.open[filepath.Base(name)]-- }}, nil
}

type countedHandle struct {
	logfile.Handle
	closed func()
}

func (h *countedHandle) Close() error {
	h.closed()
	return h.Handle.Close()
}

// TestInspect finds what Open finds, and changes nothing.
func TestInspect(t *testing.T) {
	d := faultfs.New()
	l := create(t, d, smallSegments())
	for i := range 12 {
		put(t, l, next(l, 1, "1"))
		if i%4 == 3 {
			put(t, l, frame(l.LastIndex()+1, uint64(1+i/4), logfile.KindConfChange, l.NextOffset(), 0, string(logfile.OpaqueBody([]byte{byte(i)}))))
		}
		if i == 5 {
			l.SetApplied(l.LastIndex(), []byte("applied"), nil)
			var b logfile.Batch
			l.StageCheckpoint(&b)
			run(t, &b)
		}
	}
	var b logfile.Batch
	l.SetHardState(&b, 7, 2)
	run(t, &b)
	require.NoError(t, l.Close())
	last := segments(t, d)[len(segments(t, d))-1]
	text, err := d.ReadFile(last)
	require.NoError(t, err)
	d.WriteFile(last, append(text, "#f 1 torn"...))
	files := func(d *faultfs.FS) map[string]string {
		c := &copies{t: t, d: d}
		list, err := d.ReadDir(dir)
		require.NoError(c.t, err)
		out := map[string]string{}
		for _, e := range list {
			text, err := d.ReadFile(dir + "/" + e.Name())
			require.NoError(t, err)
			out[e.Name()] = string(text)
		}
		return out
	}
	before := files(d)
	got, err := logfile.Inspect(d, dir, smallSegments())
	require.NoError(t, err)
	require.Equal(t, before, files(d), "nothing has changed")
	assert.EqualValues(t, 3, got.LastTerm)
	assert.EqualValues(t, []uint64{7, 2}, []uint64{got.HardTerm, got.Vote})
	var changes []uint64
	for _, f := range got.Changes {
		require.Equal(t, logfile.KindConfChange, f.Kind)
		changes = append(changes, f.Index)
	}

	l, rec := open(t, d, smallSegments())
	assert.Equal(t, rec.ConfChanges, changes, "those after the checkpoint")
	assert.Len(t, changes, 2)
	found := got.Recovered
	found.ConfChanges, found.CutBytes, found.BrokenCopy = rec.ConfChanges, rec.CutBytes, rec.BrokenCopy
	found.Clean = rec.Clean
	assert.Equal(t, *rec, found)
	assert.EqualValues(t, len("#f 1 torn"), rec.CutBytes)
	assert.Equal(t, rec.LastIndex, l.LastIndex())

	d.WriteFile(dir+"/00000000000000000099.log.reset", nil)
	_, err = logfile.Inspect(d, dir, smallSegments())
	assert.ErrorIs(t, err, logfile.ErrUnfinished)
}

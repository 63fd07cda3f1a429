package logfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
	"ottla/logfile/faultfs"
)

// copies is one log on three brokers of a disk.
type copies struct {
	t    *testing.T
	d    *faultfs.FS
	opt  logfile.Options
	want []logfile.Frame
}

func copyDir(broker int) string { return fmt.Sprintf("/data/broker-%d/liked-0", broker) }

func copyIdentity(broker int) logfile.Identity {
	id := identity
	id.Broker, id.ReplicaID = broker, uint64(broker)
	return id
}

// newDisk is a disk with the directories of three brokers.
func newDisk(t *testing.T) *faultfs.FS {
	d := faultfs.New()
	for b := 1; b <= 3; b++ {
		require.NoError(t, d.MkdirAll(fmt.Sprintf("/data/broker-%d", b), 0o755))
	}
	require.NoError(t, d.SyncDir("/"))
	require.NoError(t, d.SyncDir("/data"))
	return d
}

// newCopies writes 30 entries of terms 1 to 3 to three logs in segments of
// about 700 bytes, each copy with sync marks and votes of its own between them,
// and closes them as a clean stop does.
func newCopies(t *testing.T, clean bool) *copies {
	c := &copies{t: t, d: newDisk(t), opt: smallSegments()}
	for b := 1; b <= 3; b++ {
		l, err := logfile.Create(c.d, copyDir(b), copyIdentity(b), logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, c.opt)
		require.NoError(t, err)
		for i := range 30 {
			term := uint64(1 + i/11)
			f := records(uint64(i+1), term, l.NextOffset(), 1+i%3, fmt.Sprint(i))
			if i%11 == 0 {
				var batch logfile.Batch
				l.SetHardState(&batch, term, uint64(b))
				run(t, &batch)
				f = empty(uint64(i+1), term, l.NextOffset())
			}
			put(t, l, f)
			if i%4 == b {
				var batch logfile.Batch
				l.StageSyncMark(&batch)
				run(t, &batch)
			}
		}
		if clean {
			var batch logfile.Batch
			l.StageCheckpoint(&batch)
			l.StageSyncMark(&batch)
			run(t, &batch)
		}
		require.NoError(t, l.Close())
	}
	l, _, err := logfile.Open(c.d, copyDir(2), c.opt)
	require.NoError(t, err)
	c.want = all(t, l)
	require.NoError(t, l.Close())
	require.Len(t, c.want, 30)
	return c
}

func (c *copies) segments(broker int) []string {
	names := c.segmentsAndParts(broker)
	require.Greater(c.t, len(names), 2)
	return names
}

func (c *copies) segmentsAndParts(broker int) []string {
	list, err := c.d.ReadDir(copyDir(broker))
	require.NoError(c.t, err)
	var names []string
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".log") {
			names = append(names, copyDir(broker)+"/"+e.Name())
		}
	}
	return names
}

func (c *copies) change(path string, fn func(b []byte) []byte) {
	b, err := c.d.ReadFile(path)
	require.NoError(c.t, err)
	c.d.WriteFile(path, fn(bytes.Clone(b)))
}

// mend makes one copy whole with what the others lend.
func (c *copies) mend(broker int, lenders ...int) error {
	m, err := logfile.Examine(c.d, copyDir(broker), c.opt, nil)
	if err != nil {
		return err
	}
	err = c.feed(m, lenders)
	if err == nil {
		err = m.Finish()
	}
	return errors.Join(err, m.Abort())
}

func (c *copies) feed(m *logfile.Mending, lenders []int) error {
	for {
		w, more := m.Want()
		if !more {
			return nil
		}
		taken, why := false, error(nil)
		for _, from := range lenders {
			loan, err := logfile.Lend(c.d, copyDir(from), copyIdentity(from), w, 1000)
			if err != nil {
				return err
			}
			if loan.Parts != nil && !taken {
				why = m.PutParts(loan.Parts)
				taken = why == nil
			}
			if loan.Checkpoint != nil && !taken {
				why = m.PutCheckpoint(loan.Checkpoint, loan.Term)
				taken = why == nil
			}
			for i := range loan.Frames {
				if err := m.Put(&loan.Frames[i], loan.AnchorTerm); err != nil {
					why = err
					break
				}
				taken = true
			}
		}
		if !taken {
			return errors.Join(fmt.Errorf("entry %d: nobody has it", w.First), why)
		}
	}
}

// whole checks that a copy opens and holds everything, in segments too, and
// that its term and vote are those it had.
func (c *copies) whole(broker int) {
	c.t.Helper()
	require.NoError(c.t, logfile.Verify(c.d, copyDir(broker), func(path string, at int64, err error) {
		c.t.Errorf("%s at %d: %v", path, at, err)
	}))
	l, rec, err := logfile.Open(c.d, copyDir(broker), c.opt)
	require.NoError(c.t, err)
	defer func() { require.NoError(c.t, l.Close()) }()
	assert.Equal(c.t, copyIdentity(broker), rec.Identity)
	assert.EqualValues(c.t, 3, rec.HardTerm)
	assert.EqualValues(c.t, broker, rec.Vote)
	assert.Zero(c.t, rec.CutBytes)
	got := all(c.t, l)
	require.Len(c.t, got, len(c.want))
	for i := range got {
		got[i].AppendTime = c.want[i].AppendTime
	}
	assert.Equal(c.t, c.want, got)
}

// One wrong bit, at every byte of a closed copy: the others, or the line
// itself where it is this replica's own, always suffice.
func TestMendEveryBit(t *testing.T) {
	whole := newCopies(t, true)
	for _, path := range whole.segments(1) {
		text, err := whole.d.ReadFile(path)
		require.NoError(t, err)
		for at := 0; at < len(text); at += stride(7) {
			c := *whole
			c.t, c.d = t, whole.d.Clone()
			c.change(path, func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b })
			require.NoError(t, c.mend(1, 2, 3), "%s byte %d: %q", path, at, text[max(at-20, 0):min(at+20, len(text))])
			c.whole(1)
			kept, err := c.d.ReadFile(path + ".damaged-0")
			require.NoError(t, err)
			assert.Len(t, kept, len(text))
			assert.NotEqual(t, text, kept, "the damaged file is kept")
			if t.Failed() {
				t.Fatalf("%s byte %d: %q", path, at, text[max(at-20, 0):min(at+20, len(text))])
			}
		}
	}
}

// Damage at different places of all three copies, in sealed and active
// segments: each is made whole out of the other damaged ones.
func TestMendAllThreeCopies(t *testing.T) {
	for seed := int64(0); seed < 100; seed += int64(stride(4)) {
		rnd := rand.New(rand.NewSource(seed))
		c := newCopies(t, true)
		for b := 1; b <= 3; b++ {
			segs := c.segments(b)
			for i, path := range segs {
				if i != len(segs)-1 && i%3 != b%3 {
					continue
				}
				c.change(path, func(text []byte) []byte {
					// Thirds of the records of a segment, so that no entry is hit twice.
					from := bytes.Index(text, []byte("\n20")) + 1
					if i == len(segs)-1 {
						from += (len(text) - from) * (b - 1) / 3
					}
					at := from + rnd.Intn(10)
					text[at] ^= 1
					return text
				})
			}
		}
		for b := 1; b <= 3; b++ {
			require.NoError(t, c.mend(b, b%3+1, (b+1)%3+1), "seed %d", seed)
			c.whole(b)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Blocks of zeros or of noise over anything after a segment's first lines: it
// is mended with every promise kept, or refused with the copy as it was.
func TestMendBlocks(t *testing.T) {
	mended, refused := 0, 0
	for seed := int64(0); seed < 400; seed += int64(stride(5)) {
		rnd := rand.New(rand.NewSource(seed))
		clean := seed%2 == 0
		c := newCopies(t, clean)
		segs := c.segments(1)
		path := segs[rnd.Intn(len(segs))]
		c.change(path, func(b []byte) []byte {
			head := bytes.IndexByte(b, '\n') + 1
			head += bytes.IndexByte(b[head:], '\n') + 1
			from := head + rnd.Intn(len(b)-head)
			block := b[from:min(from+1+rnd.Intn(500), len(b))]
			clear(block)
			if seed%3 == 0 {
				rnd.Read(block)
			}
			return b
		})
		before, err := c.d.ReadFile(path)
		require.NoError(t, err)
		err = c.mend(1, 2, 3)
		if err == nil {
			mended++
			l, rec, err := logfile.Open(c.d, copyDir(1), c.opt)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			if !clean && rec.CutBytes > 0 {
				continue // what looks like a short write at the end is for recovery to judge
			}
			c.whole(1)
		} else {
			refused++
			var bad *logfile.CorruptError
			require.ErrorAs(t, err, &bad, "seed %d", seed)
			after, err := c.d.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, before, after)
		}
		if t.Failed() {
			t.Fatalf("seed %d, %s, refused: %v", seed, path, err)
		}
	}
	assert.Greater(t, mended, 200/stride(5))
	assert.Greater(t, refused, 5/stride(5), "the newest entries of a log with no sync mark after them")
}

// The same entry is damaged everywhere: nothing changes, nothing is lost.
func TestMendNobodyHasIt(t *testing.T) {
	c := newCopies(t, true)
	before := map[string][]byte{}
	for b := 1; b <= 3; b++ {
		for _, path := range c.segments(b) {
			c.change(path, func(text []byte) []byte {
				if at := bytes.Index(text, []byte(" liked 0 20 ")); at >= 0 {
					text[at-1] ^= 1
					before[path] = text
				}
				return text
			})
		}
	}
	require.Len(t, before, 3)
	for b := 1; b <= 3; b++ {
		require.ErrorContains(t, c.mend(b, b%3+1, (b+1)%3+1), "nobody has it")
	}
	for path, text := range before {
		after, err := c.d.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, text, after)
	}
}

// Where a new term began in the gap, what the copy has left does not say which
// entries it held: an uncommitted entry of another leader must not be taken,
// not even where it fits by index and offset.
func TestMendTakesNoOtherLeadersEntries(t *testing.T) {
	build := func(d *faultfs.FS, broker int, terms ...uint64) {
		require.NoError(t, d.MkdirAll(fmt.Sprintf("/data/broker-%d", broker), 0o755))
		l, err := logfile.Create(d, copyDir(broker), copyIdentity(broker), logfile.Checkpoint{HardTerm: 1}, options("b"))
		require.NoError(t, err)
		for i, term := range terms {
			var b logfile.Batch
			l.SetHardState(&b, term, uint64(broker))
			run(t, &b)
			put(t, l, records(uint64(i+1), term, l.NextOffset(), 1, fmt.Sprintf(`"entry %d of term %d"`, i+1, term)))
		}
		var b logfile.Batch
		l.StageCheckpoint(&b)
		l.StageSyncMark(&b)
		run(t, &b)
		require.NoError(t, l.Close())
	}
	c := &copies{t: t, d: faultfs.New(), opt: options("b")}
	require.NoError(t, c.d.MkdirAll("/data", 0o755))
	build(c.d, 1, 1, 1, 3, 3, 3)
	build(c.d, 2, 1, 1, 2, 2) // the leader of term 2, whose entries were never committed
	build(c.d, 3, 1, 1, 3, 3, 3)
	path := copyDir(1) + "/00000000000000000000.log"
	c.change(path, func(text []byte) []byte {
		from := bytes.Index(text, []byte("#f 1 3 3"))
		to := bytes.Index(text, []byte("#f 1 4 3"))
		clear(text[from : to-40]) // entry 3 and its header
		return text
	})
	before, err := c.d.ReadFile(path)
	require.NoError(t, err)
	require.ErrorIs(t, c.mend(1, 2), logfile.ErrWrongEntry)
	after, err := c.d.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)

	require.NoError(t, c.mend(1, 2, 3))
	l, _, err := logfile.Open(c.d, copyDir(1), c.opt)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	frames := all(t, l)
	require.Len(t, frames, 5)
	assert.EqualValues(t, 3, frames[2].Term)
	assert.Contains(t, string(frames[2].Body), "entry 3 of term 3")
}

// A vote that may have stood in the damaged bytes, with no later one after
// them: the copy is not mended, for it could vote twice.
func TestMendRefusesALostVote(t *testing.T) {
	c := newCopies(t, false)
	segs := c.segments(1)
	path := segs[len(segs)-1]
	c.change(path, func(text []byte) []byte {
		l := bytes.LastIndex(text, []byte("\n#f "))
		l = bytes.LastIndex(text[:l], []byte("\n#f ")) + 1
		from := bytes.LastIndex(text[:l-1], []byte("\n#f ")) + 1
		vote := "#h 4 2 12345678\n"
		text = append(text[:l:l], append([]byte(vote), text[l:]...)...)
		clear(text[from : l+len(vote)])
		return text
	})
	err := c.mend(1, 2, 3)
	require.ErrorContains(t, err, "vote")
}

// A crash at every step of the replacement leaves a log that is damaged still,
// or mended; never one that opens without what is missing.
func TestMendCrash(t *testing.T) {
	whole := newCopies(t, true)
	path := whole.segments(1)[1]
	whole.change(path, func(text []byte) []byte {
		text[bytes.Index(text, []byte("\n20"))+3] ^= 1
		return text
	})
	rnd := rand.New(rand.NewSource(1))
	for stop := 0; ; stop++ {
		c := *whole
		c.d = whole.d.Clone()
		c.d.StopAfter(stop)
		err := c.mend(1, 2, 3)
		stopped := c.d.Stopped()
		if stop%2 == 0 {
			c.d.Restart()
		} else {
			c.d.PowerCut(rnd)
		}
		if err != nil {
			require.NoError(t, c.mend(1, 2, 3), "stop after %d", stop)
		}
		c.whole(1)
		if !stopped {
			require.NoError(t, err)
			require.Greater(t, stop, 5)
			return
		}
	}
}

package logfile_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

func (c *copies) lend(broker int, w logfile.Want, maxBytes int) logfile.Loan {
	c.t.Helper()
	loan, err := logfile.Lend(c.d, copyDir(broker), copyIdentity(broker), w, maxBytes)
	require.NoError(c.t, err)
	return loan
}

// indexes lists the entries of a loan, each of which must be the one that the
// logs hold.
func (c *copies) indexes(loan logfile.Loan) (out []uint64) {
	for _, f := range loan.Frames {
		want := c.want[f.Index-1]
		want.AppendTime = f.AppendTime
		require.Equal(c.t, want, f)
		out = append(out, f.Index)
	}
	return out
}

// spoil flips a bit in the body of an entry of one copy, or in its header.
func (c *copies) spoil(broker int, index uint64, header bool) {
	for _, path := range c.segments(broker) {
		c.change(path, func(b []byte) []byte {
			at := bytes.Index(b, fmt.Appendf(nil, "\n#f 1 %d ", index))
			if at < 0 {
				return b
			}
			if at += 2; !header {
				at += bytes.IndexByte(b[at:], '\n') + 2
			}
			b[at] ^= 1
			return b
		})
	}
}

func TestLend(t *testing.T) {
	c := newCopies(t, true) // entries 1 to 30, of terms 1 (to 11), 2 (to 22) and 3
	anchor := logfile.TermStart{Index: 25, Term: 3}
	all := c.lend(2, logfile.Want{First: 1, Last: 30}, 1<<20)
	require.Len(t, c.indexes(all), 30)
	assert.Zero(t, all.AnchorTerm, "no anchor was asked about")

	loan := c.lend(2, logfile.Want{First: 14, Last: 16, Anchor: anchor}, 1<<20)
	assert.Equal(t, []uint64{14, 15, 16}, c.indexes(loan))
	assert.EqualValues(t, 3, loan.AnchorTerm, "also from a later segment")
	loan = c.lend(2, logfile.Want{First: 14, Last: 16, Anchor: logfile.TermStart{Index: 99, Term: 3}}, 1<<20)
	assert.Equal(t, []uint64{14, 15, 16}, c.indexes(loan))
	assert.Zero(t, loan.AnchorTerm, "this copy does not go so far")
	loan = c.lend(2, logfile.Want{First: 14, Last: 30}, 1)
	assert.Equal(t, []uint64{14}, c.indexes(loan), "one entry, whatever maxBytes is")
	loan = c.lend(2, logfile.Want{First: 2, Last: 30}, len(c.want[1].Body)+1)
	assert.Equal(t, []uint64{2, 3}, c.indexes(loan), "no further one once there are maxBytes")
	loan = c.lend(2, logfile.Want{First: 31, Last: 40, Anchor: anchor}, 1<<20)
	assert.Empty(t, loan.Frames)
}

// A copy that is damaged itself lends what is sound, and no entry after a hole.
func TestLendFromADamagedCopy(t *testing.T) {
	for _, header := range []bool{false, true} {
		c := newCopies(t, true)
		c.spoil(2, 15, header)
		loan := c.lend(2, logfile.Want{First: 13, Last: 18, Anchor: logfile.TermStart{Index: 19, Term: 2}}, 1<<20)
		assert.Equal(t, []uint64{13, 14}, c.indexes(loan), "up to the damage")
		assert.EqualValues(t, 2, loan.AnchorTerm, "what is after the damage proves that the log holds the anchor")
		loan = c.lend(2, logfile.Want{First: 15, Last: 18}, 1<<20)
		assert.Empty(t, loan.Frames)
		loan = c.lend(2, logfile.Want{First: 16, Last: 18}, 1<<20)
		assert.Equal(t, []uint64{16, 17, 18}, c.indexes(loan), "after the damage")
	}
	c := newCopies(t, true)
	c.change(c.segments(2)[1], func(b []byte) []byte { b[3] ^= 1; return b })
	assert.Len(t, c.indexes(c.lend(2, logfile.Want{First: 1, Last: 30}, 1<<20)), 30, "a damaged first line: the caller says which log it is")
}

func TestLendRefusesOtherLogs(t *testing.T) {
	c := newCopies(t, true)
	for name, change := range map[string]func(id *logfile.Identity){
		"another cluster":   func(id *logfile.Identity) { id.ClusterID = "c-2" },
		"another topic":     func(id *logfile.Identity) { id.TopicID = "t-2" },
		"another partition": func(id *logfile.Identity) { id.Partition = 1 },
	} {
		id := copyIdentity(2)
		change(&id)
		_, err := logfile.Lend(c.d, copyDir(2), id, logfile.Want{First: 1, Last: 2}, 1)
		assert.ErrorIs(t, err, fs.ErrNotExist, name)
	}
	_, err := logfile.Lend(c.d, copyDir(9), copyIdentity(9), logfile.Want{First: 1, Last: 2}, 1)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	id := copyIdentity(2)
	id.ReplicaID, id.Broker = 77, 9
	_, err = logfile.Lend(c.d, copyDir(2), id, logfile.Want{First: 1, Last: 2}, 1)
	assert.NoError(t, err, "any replica of the partition may lend")
}

// A log that is in use lends as of the moment of its reader: after a truncation
// or a reset nothing, since entries from before and an anchor from after would
// pass for one log.
func TestLendFromALogInUse(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, l *logfile.Log, b *logfile.Batch){
		"truncated": func(t *testing.T, l *logfile.Log, b *logfile.Batch) {
			require.NoError(t, l.Append(b, []logfile.Frame{empty(3, 9, l.NextOffset()-4)}))
		},
		"reset": func(_ *testing.T, l *logfile.Log, b *logfile.Batch) {
			l.Reset(b, logfile.Checkpoint{Index: 50, Term: 9, NextOffset: 90, LogStart: 90})
		},
		"appended to": func(t *testing.T, l *logfile.Log, b *logfile.Batch) {
			require.NoError(t, l.Append(b, []logfile.Frame{next(l, 1, "1")}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newScene(t, 4, true, true, "1").d
			l, _ := open(t, d, options("boot-1"))
			r := l.Reader()
			loan, err := r.Lend(logfile.Want{First: 2, Last: 3}, 1, 1<<20)
			require.NoError(t, err)
			require.Len(t, loan.Frames, 2)
			assert.EqualValues(t, 1, loan.AnchorTerm)
			var b logfile.Batch
			change(t, l, &b)
			run(t, &b)
			_, err = r.Lend(logfile.Want{First: 2, Last: 2}, 1, 1<<20)
			if name == "appended to" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.NotErrorIs(t, err, logfile.ErrBeyondEnd)
		})
	}
}

// Put takes entries in order only, Finish waits for the last one, and Abort takes
// back what was written.
func TestMendingInOrder(t *testing.T) {
	c := newCopies(t, true)
	c.spoil(1, 14, false)
	before := c.files(1)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	assert.True(t, m.Damaged())
	assert.Equal(t, copyIdentity(1), m.Identity())
	w, more := m.Want()
	require.True(t, more)
	assert.EqualValues(t, 14, w.First)
	assert.EqualValues(t, 14, w.Last)
	require.ErrorIs(t, m.Finish(), logfile.ErrRefused)
	require.ErrorIs(t, m.Put(&c.want[12], 2), logfile.ErrWrongEntry)
	require.ErrorIs(t, m.Put(&c.want[14], 2), logfile.ErrWrongEntry)
	require.NoError(t, m.Put(&c.want[13], 2))
	_, more = m.Want()
	assert.False(t, more)
	require.ErrorIs(t, m.Put(&c.want[13], 2), logfile.ErrWrongEntry, "none is missing any more")
	require.NoError(t, m.Abort())
	assert.Equal(t, before, c.files(1), "nothing has changed")

	require.NoError(t, c.mend(1, 2, 3))
	c.whole(1)
	sound, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	assert.False(t, sound.Damaged())
	before = c.files(1)
	require.NoError(t, sound.Finish())
	require.NoError(t, sound.Abort())
	assert.Equal(t, before, c.files(1))
}

func (c *copies) files(broker int) map[string]string {
	list, err := c.d.ReadDir(copyDir(broker))
	require.NoError(c.t, err)
	out := map[string]string{}
	for _, e := range list {
		b, err := c.d.ReadFile(copyDir(broker) + "/" + e.Name())
		require.NoError(c.t, err)
		out[e.Name()] = string(b)
	}
	return out
}

// What Examine refuses: damage that entries of other copies cannot undo.
func TestExamineRefuses(t *testing.T) {
	for name, row := range map[string]struct {
		change func(c *copies, segs []string)
		want   string
	}{
		"two wrong bits in a first line": {func(c *copies, segs []string) {
			c.change(segs[1], func(b []byte) []byte { b[3] ^= 1; b[9] ^= 1; return b })
		}, "damaged at byte 0"},
		"a segment missing": {func(c *copies, segs []string) { require.NoError(c.t, c.d.Remove(segs[1])) }, "is missing"},
		"a segment of another replica": {func(c *copies, segs []string) {
			b, err := c.d.ReadFile(strings.Replace(segs[1], "broker-1", "broker-2", 1))
			require.NoError(c.t, err)
			c.d.WriteFile(segs[1], b)
		}, "another replica"},
		"a reset that was not finished": {func(c *copies, segs []string) {
			b, err := c.d.ReadFile(segs[0])
			require.NoError(c.t, err)
			c.d.WriteFile(segs[0]+".reset", b)
		}, "was being replaced"},
		"an entry twice": {func(c *copies, segs []string) {
			c.change(segs[1], func(b []byte) []byte {
				at := bytes.Index(b, []byte("\n#f ")) + 1
				to := at + bytes.Index(b[at:], []byte("\n#f ")) + 1
				return append(append(bytes.Clone(b[:to]), b[at:to]...), b[to:]...)
			})
		}, "follows"},
		"the newest entries, with no line after them": {func(c *copies, segs []string) {
			c.change(segs[len(segs)-1], func(b []byte) []byte {
				at := bytes.LastIndex(b, []byte("\n#f ")) + 1
				return append(b[:at], bytes.Repeat([]byte("?"), 600)...)
			})
		}, "newest entries"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCopies(t, true)
			row.change(c, c.segments(1))
			before := c.files(1)
			_, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
			var bad *logfile.CorruptError
			require.ErrorAs(t, err, &bad)
			assert.ErrorContains(t, err, row.want)
			assert.Equal(t, before, c.files(1))
		})
	}
	c := newCopies(t, true)
	_, err := logfile.Examine(c.d, copyDir(9), c.opt, nil)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = logfile.Examine(c.d, copyDir(1), c.opt, func(int) error { return errIO })
	assert.ErrorIs(t, err, errIO, "pace ends the work")
}

// A sealed segment that was cut short, or has bytes after its end, is as long
// again as the next one says it was.
func TestMendLengths(t *testing.T) {
	for name, change := range map[string]func(b []byte) []byte{
		"a byte missing":         func(b []byte) []byte { return b[:len(b)-1] },
		"the last entry missing": func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte("\n#f "))+1] },
		"zeros after the end":    func(b []byte) []byte { return append(b, make([]byte, 700)...) },
		"only the head left": func(b []byte) []byte {
			at := bytes.IndexByte(b, '\n') + 1
			return b[:at+bytes.IndexByte(b[at:], '\n')+1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCopies(t, true)
			path := c.segments(1)[1]
			b, err := c.d.ReadFile(path)
			require.NoError(t, err)
			c.change(path, change)
			_, _, err = logfile.Open(c.d, copyDir(1), c.opt)
			require.Error(t, err)
			require.NoError(t, c.mend(1, 2, 3))
			c.whole(1)
			after, err := c.d.ReadFile(path)
			require.NoError(t, err)
			assert.Len(t, after, len(b))
		})
	}
}

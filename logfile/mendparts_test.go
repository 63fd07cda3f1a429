package logfile_test

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// newCompactedCopies are three copies of a compacted log of so many entries. From 300 on
// its parts have several frames.
func newCompactedCopies(t *testing.T, entries int) *copies { return newPaddedCopies(t, entries, 300) }

// newPaddedCopies is newCompactedCopies with so many bytes added to each record.
func newPaddedCopies(t *testing.T, entries, pad int) *copies {
	opt := options("b")
	opt.SegmentBytes = int64(entries) * int64(pad) * 6 / 10
	c := &copies{t: t, d: newDisk(t), opt: opt}
	for b := 1; b <= 3; b++ {
		k := newKeyed(t, 3, opt)
		l, err := logfile.Create(c.d, copyDir(b), copyIdentity(b), logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, opt)
		require.NoError(t, err)
		k.d, k.l, k.pad = c.d, l, `,"pad":"`+strings.Repeat("x", pad)+`"`
		k.fill(entries, 500)
		plan := k.plan(7, 0)
		plan.MaxKeys = 0
		k.compact(plan)
		k.fill(5, 500)
		require.NoError(t, l.Close())
	}
	return c
}

// parts are the files of a copy that compaction has written.
func (c *copies) parts(broker int) (paths []string) {
	for _, path := range c.segmentsAndParts(broker) {
		if strings.Contains(path[strings.LastIndexByte(path, '/'):], "-") {
			paths = append(paths, path)
		}
	}
	return paths
}

func (c *copies) records(broker int) []logfile.Record {
	l, _, err := logfile.Open(c.d.Clone(), copyDir(broker), c.opt)
	require.NoError(c.t, err)
	defer func() { require.NoError(c.t, l.Close()) }()
	return readAll(c.t, l)
}

// harmPart overwrites bytes of a part at a share of its size.
func (c *copies) harmPart(path string, share float64) {
	c.change(path, func(text []byte) []byte {
		at := int(share * float64(len(text)))
		copy(text[at:], "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXX")
		return text
	})
}

// Damaged parts are replaced with those of other copies, also where every copy has
// damage in another frame of them.
func TestMendParts(t *testing.T) {
	whole := newCompactedCopies(t, 300)
	want := whole.records(1)
	names := whole.parts(1)
	require.Greater(t, len(names), 1)
	for _, share := range []float64{0, 0.001, 0.3, 0.6, 0.9999} {
		for i := range names {
			c := *whole
			c.d = whole.d.Clone()
			c.harmPart(c.parts(1)[i], share)
			c.harmPart(c.parts(2)[0], share)
			require.NoError(t, c.mend(1, 1, 2, 3), "%s %v", names[i], share)
			equalRecords(t, want, c.records(1), fmt.Sprint(names[i], share))
			_, err := c.d.ReadFile(names[i] + ".damaged-0")
			require.NoError(t, err)
		}
	}
	c := *whole
	c.d = whole.d.Clone()
	for b := 1; b <= 3; b++ {
		c.harmPart(c.parts(b)[0], 0.35*float64(b)-0.25)
	}
	require.NoError(t, c.mend(1, 1, 2, 3))
	equalRecords(t, want, c.records(1), "every copy is damaged elsewhere")
}

// What is damaged everywhere stays as it is.
func TestMendPartsNobodyHas(t *testing.T) {
	c := newCompactedCopies(t, 300)
	for b := 1; b <= 3; b++ {
		c.harmPart(c.parts(b)[0], 0.5)
	}
	path := c.parts(1)[0]
	before, err := c.d.ReadFile(path)
	require.NoError(t, err)
	files := c.segmentsAndParts(1)
	require.ErrorContains(t, c.mend(1, 1, 2, 3), "nobody has it")
	after, err := c.d.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	assert.Equal(t, files, c.segmentsAndParts(1), "nothing is left of the attempt")
}

// harmFrame overwrites records of one frame of a part, not its header.
func (c *copies) harmFrame(path string, frame int) {
	c.change(path, func(text []byte) []byte {
		at := bytes.Index(text, fmt.Appendf(nil, "\n#f 1 %d 0 k ", frame))
		require.Positive(c.t, at)
		copy(text[at+1+bytes.IndexByte(text[at+1:], '\n')+100:], "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXX")
		return text
	})
}

// Of a part's records most are missing between two frames. Where one frame is damaged in
// one copy and the next one in the others, the latter still say where that begins.
func TestMendPartsDamagedInNeighbouringFrames(t *testing.T) {
	whole := newCompactedCopies(t, 300)
	want := whole.records(1)
	tried := 0
	for i, path := range whole.parts(1) {
		text, err := whole.d.ReadFile(path)
		require.NoError(t, err)
		frames := bytes.Count(text, []byte("\n#f "))
		tried += frames - 1
		for frame := 1; frame < frames; frame++ {
			c := *whole
			c.d = whole.d.Clone()
			c.harmFrame(c.parts(3)[i], frame)
			c.harmFrame(c.parts(1)[i], frame+1)
			c.harmFrame(c.parts(2)[i], frame+1)
			require.NoError(t, c.mend(1, 1, 2, 3), "part %d, frame %d", i, frame)
			equalRecords(t, want, c.records(1), fmt.Sprint(i, frame))
		}
	}
	require.Greater(t, tried, 3)
}

// A part of several MiB is lent in many stretches, of which each is looked for.
func TestMendLargePart(t *testing.T) {
	if testing.Short() {
		t.Skip("MiBs take the race detector long, and no goroutines meet here")
	}
	c := newPaddedCopies(t, 300, 20000)
	want := c.records(1)
	paths := c.parts(1)
	text, err := c.d.ReadFile(paths[0])
	require.NoError(t, err)
	require.Greater(t, len(text), 3<<20)
	c.harmPart(paths[0], 0.5)
	c.harmPart(c.parts(2)[0], 0.25)
	c.harmPart(c.parts(3)[0], 0.75)
	require.NoError(t, c.mend(1, 2, 3))
	equalRecords(t, want, c.records(1), "")
}

// Where there is space for the copy of one damaged part only, nothing is left of it: the next
// try needs it.
func TestMendPartsWithoutSpaceLeavesNothing(t *testing.T) {
	c := newCompactedCopies(t, 300)
	paths := c.parts(1)
	require.Greater(t, len(paths), 1)
	size := 0
	for _, path := range paths {
		c.harmPart(path, 0.5)
		text, err := c.d.ReadFile(path)
		require.NoError(t, err)
		size += len(text)
	}
	want := c.records(2)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	require.NoError(t, c.feed(m, []int{2, 3}))
	c.d.SetSpace(int64(size - 100))
	require.ErrorIs(t, m.Finish(), syscall.ENOSPC)
	require.NoError(t, m.Abort())
	list, err := c.d.ReadDir(copyDir(1))
	require.NoError(t, err)
	for _, e := range list {
		assert.NotContains(t, e.Name(), ".damaged")
	}
	c.d.SetSpace(-1)
	require.NoError(t, c.mend(1, 2, 3))
	equalRecords(t, want, c.records(1), "")
}

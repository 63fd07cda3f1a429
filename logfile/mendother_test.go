package logfile_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// twoGenerations are three compacted copies, of which the third has compacted the same
// entries again.
func twoGenerations(t *testing.T) *copies {
	c := newCompactedCopies(t, 300)
	c.compactAgain(3, 9)
	return c
}

// compactAgain compacts a copy that is closed.
func (c *copies) compactAgain(broker int, generation uint64) {
	l, _, err := logfile.Open(c.d, copyDir(broker), c.opt)
	require.NoError(c.t, err)
	k := &keyed{t: c.t, d: c.d, l: l}
	k.commitAll()
	k.compact(k.plan(generation, 0))
	require.NoError(c.t, l.Close())
}

// giveUp hands over what the lenders have until none of them has what is wanted next.
func (c *copies) giveUp(m *logfile.Mending, lenders ...int) {
	require.ErrorContains(c.t, c.feed(m, lenders), "nobody has it")
}

// A generation of which nobody has the rest is given up, and another one is taken.
func TestMendTakesOtherParts(t *testing.T) {
	c := twoGenerations(t)
	want := c.records(3)
	c.harmPart(c.parts(1)[0], 0.5)
	c.harmPart(c.parts(2)[0], 0.5)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	other, err := m.OtherParts()
	require.NoError(t, err)
	require.False(t, other, "none was begun")
	c.giveUp(m, 2, 1)
	w, _ := m.Want()
	require.EqualValues(t, 7, w.Parts.Generation)
	c.giveUp(m, 3)
	other, err = m.OtherParts()
	require.NoError(t, err)
	require.True(t, other)
	w, _ = m.Want()
	require.Zero(t, w.Parts.Generation)
	require.Equal(t, []uint64{7}, w.Parts.Not)
	require.NoError(t, c.feed(m, []int{2, 3}))
	require.NoError(t, m.Finish())
	require.NoError(t, m.Abort())
	equalRecords(t, want, c.records(1), "")
	for _, path := range c.parts(1) {
		require.Contains(t, path, "-00000000000000000009.log")
	}
}

// Where lines are missing at the end, the generation is given up and another one taken.
func TestMendCountsTheRecordsOfParts(t *testing.T) {
	c := twoGenerations(t)
	want := c.records(3)
	c.harmPart(c.parts(1)[0], 0.5)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	loan := c.partsLoan(m, 2)
	require.Equal(t, loan.Info.Next, loan.Next)
	loan.Lines = loan.Lines[bytes.IndexByte(loan.Lines, '\n')+1:]
	loan.Sum = logfile.Checksum(loan.Lines)
	require.ErrorIs(t, m.PutParts(loan), logfile.ErrWrongEntry)
	other, err := m.OtherParts()
	require.NoError(t, err)
	require.True(t, other, "another one may be asked for")
	other, err = m.OtherParts()
	require.NoError(t, err)
	require.False(t, other)
	require.NoError(t, c.feed(m, []int{2, 3}))
	require.NoError(t, m.Finish())
	require.NoError(t, m.Abort())
	equalRecords(t, want, c.records(1), "")
}

// Lines that cannot stand in a part are the lender's fault, and another lender is asked.
func TestMendTakesNoLinesThatFitNowhere(t *testing.T) {
	c := newCompactedCopies(t, 300)
	want := c.records(1)
	c.harmPart(c.parts(1)[0], 0.5)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	good := c.partsLoan(m, 2)
	for name, change := range map[string]func(l [][]byte) [][]byte{
		"twice":       func(l [][]byte) [][]byte { return slices.Concat(l[:1], l) },
		"not a line":  func(l [][]byte) [][]byte { return slices.Concat([][]byte{[]byte("x\n")}, l) },
		"not in it":   func(l [][]byte) [][]byte { return append(slices.Clone(l), []byte(recordLine(1<<40, 0, "1"))) },
		"out of turn": func(l [][]byte) [][]byte { return slices.Concat(l[1:2], l[:1], l[2:]) },
	} {
		bad := *good
		bad.Lines = bytes.Join(change(bytes.SplitAfter(good.Lines, []byte("\n"))), nil)
		bad.Sum = logfile.Checksum(bad.Lines)
		require.ErrorIs(t, m.PutParts(&bad), logfile.ErrWrongEntry, name)
	}
	require.NoError(t, m.PutParts(good), "none of the bad ones has left a trace")
	require.NoError(t, c.feed(m, []int{2}))
	require.NoError(t, m.Finish())
	require.NoError(t, m.Abort())
	equalRecords(t, want, c.records(1), fmt.Sprint(good.Info))
}

package logfile_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"ottla/logfile"
)

// forkedCopies are three compacted copies that are equal up to entry 40. After it copies 1
// and 3 have entries of one leader, and copy 2 has entries of another one, whose history
// was given up; copy 2 has compacted some of these too.
func forkedCopies(t *testing.T) *copies {
	c := &copies{t: t, d: newDisk(t), opt: options("b")}
	c.opt.SegmentBytes = 3000
	for b := 1; b <= 3; b++ {
		k := newKeyed(t, 3, c.opt)
		l, err := logfile.Create(c.d, copyDir(b), copyIdentity(b), logfile.Checkpoint{ConfState: []byte("conf"), HardTerm: 1}, c.opt)
		require.NoError(t, err)
		k.d, k.l = c.d, l
		k.fill(40, 6)
		k.compact(k.plan(40, 0))
		k.term = 3
		if b == 2 {
			k.term = 2
		}
		k.fill(60, 6)
		if b == 2 {
			k.compact(k.plan(100, 0))
		}
		require.NoError(t, l.Close())
	}
	return c
}

// Parts of a history that was given up reach to where this copy has other entries. In
// place of damaged parts they would hide records of these.
func TestMendTakesNoPartsOfAnotherHistory(t *testing.T) {
	c := forkedCopies(t)
	want := c.records(1)
	c.harmPart(c.parts(1)[0], 0.5)
	before := c.d.Clone()
	require.ErrorIs(t, c.mend(1, 2), logfile.ErrWrongEntry)
	for _, path := range c.segmentsAndParts(1) {
		was, err := before.ReadFile(path)
		require.NoError(t, err)
		is, err := c.d.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, was, is)
	}
	require.NoError(t, c.mend(1, 2, 3))
	equalRecords(t, want, c.records(1), "of the copy with the same history")
}

// partsLoan is what a copy lends of its parts to another one.
func (c *copies) partsLoan(m *logfile.Mending, from int) *logfile.PartsLoan {
	want, more := m.Want()
	require.True(c.t, more)
	loan, err := logfile.Lend(c.d, copyDir(from), copyIdentity(from), want, 1<<20)
	require.NoError(c.t, err)
	require.NotNil(c.t, loan.Parts)
	return loan.Parts
}

// A lender that does not say which entry its parts reach to, as one of an older version,
// or which says that it is another one, lends none.
func TestMendTakesOnlyPartsThatAreProven(t *testing.T) {
	c := forkedCopies(t)
	c.harmPart(c.parts(1)[0], 0.5)
	m, err := logfile.Examine(c.d, copyDir(1), c.opt, nil)
	require.NoError(t, err)
	loan := c.partsLoan(m, 3)
	for _, term := range []uint64{0, 2} {
		wrong := *loan
		wrong.Term = term
		require.ErrorIs(t, m.PutParts(&wrong), logfile.ErrWrongEntry)
	}
	ahead := *loan
	ahead.Info.Generation = 101
	require.ErrorIs(t, m.PutParts(&ahead), logfile.ErrWrongEntry, "an entry of another history may get the number 101")
	beyond := *loan
	beyond.Info.To = 101
	require.ErrorIs(t, m.PutParts(&beyond), logfile.ErrWrongEntry)
	require.NoError(t, m.PutParts(loan))
	require.NoError(t, m.Finish())
	require.NoError(t, m.Abort())
	require.NotEmpty(t, c.records(1))
}

// Parts of a later compaction of the same entries do as well as the damaged ones.
func TestMendTakesPartsOfALaterCompaction(t *testing.T) {
	c := forkedCopies(t)
	l, _, err := logfile.Open(c.d, copyDir(3), c.opt)
	require.NoError(t, err)
	k := &keyed{t: t, d: c.d, l: l}
	k.commitAll()
	k.compact(k.plan(100, 0))
	require.NoError(t, l.Close())
	c.harmPart(c.parts(1)[0], 0.5)
	require.NoError(t, c.mend(1, 2, 3))
	equalRecords(t, c.records(3), c.records(1), "")
}

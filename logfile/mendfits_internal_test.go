package logfile

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFits: a gap of entries 5 and 6 with offsets 100 to 104, between an entry of
// term 2 and entry 7 of term 4; which entries another copy may give for it.
func TestFits(t *testing.T) {
	m := &Mending{sums: fuzzSums}
	five := testFrame(5, 100, 2, 1)
	five.Term, five.BodySum = 3, Checksum(five.Body)
	with := func(change func(f *Frame)) Frame {
		f := five
		f.Body = bytes.Clone(f.Body)
		change(&f)
		return f
	}
	newGap := func() *gap {
		return &gap{first: 5, due: 5, last: 6, next: 100, end: 104, term: 2, anchor: TermStart{Index: 7, Term: 4}}
	}
	for name, row := range map[string]struct {
		f      Frame
		change func(g *gap)
		anchor uint64
		want   string // "" is accepted
	}{
		"proven by the lender's entry 7":  {five, nil, 4, ""},
		"lender without entry 7":          {five, nil, 0, "does not hold entry 7 of term 4"},
		"lender with another entry 7":     {five, nil, 5, "does not hold entry 7 of term 4"},
		"another index":                   {with(func(f *Frame) { f.Index = 6 }), nil, 4, "entry 5 is the next one"},
		"damaged on the way":              {with(func(f *Frame) { f.Body[30] ^= 1 }), nil, 4, "checksum"},
		"compacted":                       {with(func(f *Frame) { f.Kind = KindCompacted }), nil, 4, "kind"},
		"count that is not the body's":    {with(func(f *Frame) { f.Count = 3 }), nil, 4, "3"},
		"offset too low":                  {with(func(f *Frame) { f.BaseOffset = 99 }), nil, 4, "offsets 99"},
		"more offsets than are missing":   {five, func(g *gap) { g.end = 101 }, 4, "offsets 100 to 102"},
		"last one leaves offsets over":    {five, func(g *gap) { g.last = 5 }, 4, "ends at offset 102"},
		"term below the one before":       {with(func(f *Frame) { f.Term = 1 }), nil, 4, "terms from 2 to 4"},
		"term above the one after":        {with(func(f *Frame) { f.Term = 5 }), nil, 4, "terms from 2 to 4"},
		"one term on both sides is proof": {with(func(f *Frame) { f.Term = 4 }), func(g *gap) { g.term = 4 }, 0, ""},
		"and excludes any other":          {five, func(g *gap) { g.term = 4 }, 4, "has term 4"},
		"the anchor itself":               {with(func(f *Frame) { f.Term = 4 }), func(g *gap) { g.anchor.Index = 5 }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGap()
			if row.change != nil {
				row.change(g)
			}
			err := m.fits(g, &row.f, row.anchor)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, row.want)
			m := &Mending{sums: fuzzSums, gaps: []*gap{g}}
			require.ErrorIs(t, m.Put(&row.f, row.anchor), ErrWrongEntry)
		})
	}
}

// With its header intact a damaged entry is known to the byte: only the very same
// one is accepted, and no lender has to prove anything.
func TestFitsSoundHeader(t *testing.T) {
	m := &Mending{sums: fuzzSums}
	f := testFrame(5, 100, 2, 1)
	f.BodySum = Checksum(f.Body)
	head := frameHead{Frame: f, length: len(f.Body), sum: fuzzSums.entry(&f)}
	g := &gap{first: 5, due: 5, last: 5, next: 100, end: 102, head: &head}
	require.NoError(t, m.fits(g, &f, 0))
	for name, change := range map[string]func(f *Frame){
		"term":   func(f *Frame) { f.Term = 2 },
		"offset": func(f *Frame) { f.BaseOffset = 101 },
		"body": func(f *Frame) {
			f.Body = bytes.Replace(f.Body, []byte("PRODUCE"), []byte("produce"), 1)
			f.BodySum = Checksum(f.Body)
		},
		"length": func(f *Frame) {
			f.Body = bytes.Replace(f.Body, []byte("x"), []byte("xy"), 1)
			f.BodySum = Checksum(f.Body)
		},
	} {
		other := f
		change(&other)
		require.ErrorContains(t, m.fits(g, &other, 9), "header", name)
	}
	f.AppendTime = 77 // each replica has its own
	require.NoError(t, m.fits(g, &f, 0))
}

// TestTermOf: what a damaged copy still says of the terms of missing entries.
func TestTermOf(t *testing.T) {
	m := &Mending{
		segs:  []*mendSegment{{}, {segmentFile: segmentFile{cp: Checkpoint{Index: 20}}}},
		terms: []TermStart{{0, 1}, {8, 2}, {15, 5}},
	}
	g := &gap{term: 1, anchor: TermStart{Index: 30, Term: 6}}
	for index, want := range map[uint64]uint64{1: 1, 7: 1, 8: 2, 14: 2, 15: 5, 20: 5, 21: 0, 29: 0, 30: 6} {
		assert.Equal(t, want, m.termOf(g, index), "entry %d", index)
	}
	g.term = 6
	assert.EqualValues(t, 6, m.termOf(g, 25), "the same term before and after the gap")
}

// Fillers fill any stretch in which a lost line can have stood, to the byte, and
// say nothing: they are hard states of term 0.
func TestFillers(t *testing.T) {
	for rest := range 200 {
		path := "/x.log"
		file := &memFile{data: bytes.Repeat([]byte("?"), rest+20)}
		seg := &mendSegment{segmentFile: segmentFile{path: path}, tmp: file}
		m := &Mending{sums: fuzzSums}
		g := &gap{seg: seg, pos: 10, to: int64(10 + rest), voteKnown: true}
		err := m.fillRest(g)
		if rest > 0 && rest < fillerLine {
			var bad *CorruptError
			require.ErrorAs(t, err, &bad, "%d bytes", rest)
			continue
		}
		require.NoError(t, err, "%d bytes", rest)
		assert.Equal(t, "??????????", string(file.data[:10]))
		assert.Equal(t, "??????????", string(file.data[10+rest:]), "%d bytes: not one more", rest)
		sc := &scanner{h: bytes.NewReader(file.data), sums: fuzzSums, pos: 10, limit: int64(10 + rest), chunk: 100}
		for sc.pos < sc.limit {
			it, err := sc.peek()
			require.NoError(t, err)
			require.NoError(t, checkLine(sc, &it))
			term, _, err := parseHardState(it.line, fuzzSums.local)
			require.NoError(t, err)
			require.Zero(t, term)
			sc.pos = it.end
		}
		if rest > 0 {
			g.pos, g.voteKnown = 10, false
			require.ErrorContains(t, m.fillRest(g), "vote")
		}
	}
}

// One wrong bit is corrected wherever it is in a line of this replica, two are
// not, and neither is a line of another one.
func TestCorrect(t *testing.T) {
	line := appendSyncMark(nil, 1234567, "boot", fuzzSums.local)
	text := append(append([]byte{}, line...), appendHardState(nil, 3, 2, fuzzSums.local)...)
	for at := range line {
		for bit := range 8 {
			bad := bytes.Clone(text)
			bad[at] ^= 1 << bit
			seg := &mendSegment{}
			p := &patched{Handle: &memFile{data: bad}, seg: seg}
			require.True(t, p.correct(0, int64(len(bad)), fuzzSums, nil), "bit %d of byte %d", bit, at)
			got := make([]byte, len(bad))
			_, err := p.ReadAt(got, 0)
			require.NoError(t, err)
			require.Equal(t, text, got, "bit %d of byte %d", bit, at)

			bad[(at+5)%len(line)] ^= 2
			p = &patched{Handle: &memFile{data: bad}, seg: &mendSegment{}}
			require.False(t, p.correct(0, int64(len(bad)), fuzzSums, nil), "two bits")
		}
	}
	other := fuzzSums
	other.local++
	p := &patched{Handle: &memFile{data: text}, seg: &mendSegment{}}
	assert.False(t, p.correct(0, int64(len(text)), other, nil))
}

// Patches are seen in reads of any place and length.
func TestPatched(t *testing.T) {
	p := &patched{Handle: &memFile{data: []byte("0123456789")}, seg: &mendSegment{patches: []patch{{3, []byte("ab")}, {8, []byte("yz")}}}}
	const want = "012ab567yz"
	for from := range len(want) {
		for to := from; to <= len(want); to++ {
			b := make([]byte, to-from)
			n, _ := p.ReadAt(b, int64(from))
			require.Equal(t, want[from:to], string(b[:n]))
		}
	}
}

package logfile

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errWrongSum = errors.New("wrong checksum")

// TestJudge: the file has 1000 bytes, and the item at byte 400 is not valid.
func TestJudge(t *testing.T) {
	torn := &badItem{pos: 400, short: true, err: errShort}
	spoilt := &badItem{pos: 400, err: errWrongSum}               // where it ends is not known
	spoiltBody := &badItem{pos: 400, end: 700, err: errWrongSum} // with a sound header
	lastBody := &badItem{pos: 400, end: 1000, err: errWrongSum}
	for _, row := range []struct {
		name string
		f    tailFacts
		cut  bool
	}{
		{"kill -9 in the middle of the last write", tailFacts{bad: torn, nextValid: 1000}, true},
		{"power cut in the middle of the last write", tailFacts{bad: torn, nextValid: 1000, restarted: true}, true},
		{"a length that grew, with valid lines after it", tailFacts{bad: torn, nextValid: 600, restarted: true}, false},
		{"wrong bytes without a power cut", tailFacts{bad: spoilt, nextValid: 1000}, false},
		{"zeros without a power cut", tailFacts{bad: spoilt, nextValid: 1000, unwritten: true}, false},
		{"power cut, wrong bytes up to the end of the file", tailFacts{bad: spoilt, nextValid: 1000, restarted: true}, true},
		{"power cut, wrong bytes and a valid line after them", tailFacts{bad: spoilt, nextValid: 600, restarted: true}, false},
		{"power cut, a sector missing and a valid line after it", tailFacts{bad: spoilt, nextValid: 600, restarted: true, unwritten: true}, true},
		{"power cut, wrong body of the last entry", tailFacts{bad: lastBody, nextValid: 1000, restarted: true}, true},
		{"power cut, wrong body in the middle", tailFacts{bad: spoiltBody, nextValid: 1000, restarted: true}, false},
		{"power cut, a sector missing in a body in the middle", tailFacts{bad: spoiltBody, nextValid: 1000, restarted: true, unwritten: true}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := row.f
			f.size, f.due, f.proven = 1000, 8, 7
			if err := judge(&f); row.cut {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, f.bad.err)
			}
			f.proven = 8
			err := judge(&f)
			require.ErrorIs(t, err, f.bad.err, "what was synced is never cut off")
			require.ErrorContains(t, err, "entry 8 was synced")
		})
	}
}

// An item that somebody wrote as it stands there was not left by a crash,
// whatever else is known.
func TestJudgeNeverCutsIntactItems(t *testing.T) {
	for name, bad := range map[string]*badItem{
		"a valid entry at the wrong place": {pos: 400, whole: true, err: errMisplacedLine},
		"an entry of a newer version":      {pos: 400, short: true, err: ErrNewerFormat},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 8 {
				f := tailFacts{bad: bad, due: 8, size: 1000, nextValid: 1000, restarted: i&1 > 0, unwritten: i&2 > 0}
				if i&4 > 0 {
					f.nextValid = 600
				}
				assert.ErrorIs(t, judge(&f), bad.err)
			}
		})
	}
}

// readAt is a file in memory whose reads fail from some position on.
type readAt struct {
	data  []byte
	fails int64
}

var errUnreadable = errors.New("unreadable sector")

func (r *readAt) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, r.data[min(off, int64(len(r.data))):])
	if off+int64(n) > r.fails {
		return 0, errUnreadable
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// A read error while looking for the facts is not taken for a torn write, nor
// for damage.
func TestJudgeTailReportsReadErrors(t *testing.T) {
	data := make([]byte, 3000)
	bad := &badItem{pos: 400, err: errWrongSum}
	sc := &scanner{h: &readAt{data, 2000}, path: "x.log", limit: 3000, chunk: scanChunk}
	err := judgeTail(sc, bad, 8, syncProof{index: 7, boot: "a"}, "b")
	require.ErrorIs(t, err, errUnreadable)
	var corrupt *CorruptError
	assert.False(t, errors.As(err, &corrupt))
	sc.h = &readAt{data, 3000}
	require.NoError(t, judgeTail(sc, bad, 8, syncProof{index: 7, boot: "a"}, "b"))
	err = judgeTail(sc, bad, 8, syncProof{index: 7, boot: "b"}, "b")
	require.ErrorAs(t, err, &corrupt)
	assert.Equal(t, CorruptError{Path: "x.log", Offset: 400, Err: errWrongSum}, *corrupt)
}

// What is proven may stand after the invalid item only.
func TestJudgeTailLooksAfterTheItem(t *testing.T) {
	const at = 600 // more than a sector of zeros
	line := func(add func([]byte) []byte) []byte {
		return append(append(make([]byte, at), '\n'), add(nil)...)
	}
	frame := Frame{Index: 9, Term: 1, Kind: KindEmpty}
	for name, row := range map[string]struct {
		data []byte
		cut  bool
	}{
		"a vote":                            {line(func(b []byte) []byte { return appendHardState(b, 3, 1, fuzzSums.local) }), true},
		"an entry before which 7 is synced": {line(func(b []byte) []byte { return appendFrameHead(b, fuzzSums, &frame, 7) }), true},
		"an entry before which 8 is synced": {line(func(b []byte) []byte { return appendFrameHead(b, fuzzSums, &frame, 8) }), false},
		"a sync mark of the same boot":      {line(func(b []byte) []byte { return appendSyncMark(b, 7, "new", fuzzSums.local) }), false},
		"a sync mark of the boot before":    {line(func(b []byte) []byte { return appendSyncMark(b, 7, "old", fuzzSums.local) }), true},
		"a sync mark for 8":                 {line(func(b []byte) []byte { return appendSyncMark(b, 8, "old", fuzzSums.local) }), false},
		"a sync mark of another replica":    {line(func(b []byte) []byte { return appendSyncMark(b, 8, "new", fuzzSums.local+1) }), true},
	} {
		t.Run(name, func(t *testing.T) {
			sc := &scanner{h: &readAt{row.data, 1 << 20}, path: "x.log", sums: fuzzSums, limit: int64(len(row.data)), chunk: scanChunk}
			err := judgeTail(sc, &badItem{pos: 0, err: errWrongSum}, 8, syncProof{index: 7, boot: "old"}, "new")
			assert.Equal(t, row.cut, err == nil, "%v", err)
		})
	}
}

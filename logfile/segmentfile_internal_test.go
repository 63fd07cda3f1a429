package logfile

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func scannerOf(data []byte) *scanner {
	return &scanner{h: bytes.NewReader(data), path: "x.log", sums: fuzzSums, limit: int64(len(data)), chunk: scanChunk}
}

// Lines are found wherever they stand, also across the boundaries of what is
// read at once, and in order.
func TestEachLineFromFindsAllLines(t *testing.T) {
	mark := appendSyncMark(nil, 1, "b", fuzzSums.local)
	for _, gap := range []int{0, 1, 254, 4*scanChunk - 2, 4*scanChunk - 1, 4 * scanChunk, 4*scanChunk + 1} {
		data := []byte("x\n")
		var want []int64
		for range 3 {
			want = append(want, int64(len(data)))
			data = append(data, mark...)
			data = append(data, bytes.Repeat([]byte("y"), gap)...)
			data = append(data, '\n')
		}
		var got []int64
		require.NoError(t, scannerOf(data).eachLineFrom(1, func(sc *scanner, it *item) bool {
			if checkLine(sc, it) == nil {
				got = append(got, it.pos)
			}
			return true
		}))
		require.Equal(t, want, got, "%d bytes between the lines", gap)

		next, err := scannerOf(data).nextValid(want[1])
		require.NoError(t, err)
		assert.Equal(t, want[1], next, "the line at the position itself counts")
		next, err = scannerOf(data).nextValid(want[1] + 1)
		require.NoError(t, err)
		assert.Equal(t, want[2], next)
		next, err = scannerOf(data).nextValid(want[2] + 1)
		require.NoError(t, err)
		assert.EqualValues(t, len(data), next, "none: the limit")
	}
}

// A line in the middle of a body that looks like a line of the log is none: its
// checksum is of another identity, or wrong, or it must not stand there.
func TestNextValidPassesOverForgedLines(t *testing.T) {
	head := &segmentHead{boot: "b", prevBase: -1}
	forged := [][]byte{
		[]byte("#s 9 \"b\" 00000000\n"),
		appendSyncMark(nil, 9, "b", fuzzSums.local+1),
		appendSegmentHead(nil, head),
		[]byte("#\n"), []byte("#z\n"), []byte("##\n"),
		appendHardState(nil, 9, 9, fuzzSums.local)[:10],
	}
	data := append([]byte("x\n"), bytes.Join(forged, []byte("y\n"))...)
	data = append(data, '\n')
	want := int64(len(data))
	data = append(data, appendHardState(nil, 1, 1, fuzzSums.local)...)
	got, err := scannerOf(data).nextValid(1)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// TestFollows: what two neighbouring segments may say of each other.
func TestFollows(t *testing.T) {
	id := Identity{ClusterID: "c", TopicID: "t", Topic: "liked", ReplicaID: 7}
	pair := func() (prev, s *segmentFile) {
		prev = &segmentFile{
			path: segmentPath("d", 100), head: &segmentHead{id: id, prevBase: -1}, size: 5000,
			cp: Checkpoint{Index: 10, NextOffset: 100},
		}
		s = &segmentFile{
			path: segmentPath("d", 200), head: &segmentHead{id: id, prevBase: 100, prevSize: 5000},
			cp: Checkpoint{Index: 20, NextOffset: 200},
		}
		return prev, s
	}
	prev, s := pair()
	require.NoError(t, prev.follows(nil, id))
	require.NoError(t, s.follows(prev, id))
	for name, row := range map[string]struct {
		change func(prev, s *segmentFile)
		want   string
	}{
		"under another name":       {func(_, s *segmentFile) { s.path = segmentPath("d", 201) }, "not the one in its name"},
		"of another replica":       {func(_, s *segmentFile) { s.head.id.ReplicaID = 8 }, "another replica"},
		"of another broker":        {func(_, s *segmentFile) { s.head.id.Broker = 8 }, "another replica"},
		"one between them missing": {func(_, s *segmentFile) { s.head.prevBase = 150 }, "150, is missing"},
		"entries going back":       {func(_, s *segmentFile) { s.cp.Index = 9 }, "after entry 9"},
		"offsets not advancing": {func(prev, s *segmentFile) {
			prev.cp.NextOffset, prev.path, s.head.prevBase = 200, segmentPath("d", 200), 200
		}, "at offset 200"},
	} {
		t.Run(name, func(t *testing.T) {
			prev, s := pair()
			row.change(prev, s)
			err := s.follows(prev, id)
			var bad *CorruptError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, s.path, bad.Path)
			assert.ErrorContains(t, err, row.want)
		})
	}
}

// The first two lines were complete before the file got its name, so whatever is
// wrong with them is damage, reported at the line that is wrong.
func TestDamagedHead(t *testing.T) {
	id := Identity{ClusterID: "c", TopicID: "t", Topic: "liked", ReplicaID: 1}
	first := appendSegmentHead(nil, &segmentHead{id: id, boot: "b", prevBase: -1})
	whole := appendCheckpoint(bytes.Clone(first), &Checkpoint{Index: 3, Term: 1}, 7, newChecksums(id).local)
	second := int64(len(first))
	flip := func(at int64) []byte {
		b := bytes.Clone(whole)
		b[at] ^= 1
		return b
	}
	fsys := &oneFile{}
	fsys.data = whole
	head, cp, err := readSegmentHead(fsys, "x.log")
	require.NoError(t, err)
	assert.Equal(t, id, head.id)
	assert.EqualValues(t, 7, head.lastAt)
	assert.EqualValues(t, 3, cp.Index)
	assert.True(t, fsys.closed)
	for name, row := range map[string]struct {
		data []byte
		at   int64
	}{
		"empty":                         {nil, 0},
		"first line cut short":          {whole[:second-3], 0},
		"second line missing":           {whole[:second], second},
		"second line cut short":         {whole[:len(whole)-1], second},
		"bit in the first line":         {flip(5), 0},
		"bit in the second line":        {flip(second + 5), second},
		"checkpoint of another replica": {appendCheckpoint(bytes.Clone(first), &Checkpoint{}, 7, 1), second},
		"lines in the wrong order":      {append(bytes.Clone(whole[second:]), first...), 0},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := &oneFile{}
			fsys.data = row.data
			_, _, err := readSegmentHead(fsys, "x.log")
			var bad *CorruptError
			require.ErrorAs(t, err, &bad)
			assert.Equal(t, "x.log", bad.Path)
			assert.Equal(t, row.at, bad.Offset)
			assert.True(t, strings.HasPrefix(bad.Error(), "x.log: damaged at byte "))
			assert.True(t, fsys.closed, "the handle is not left open")
		})
	}
	fsys = &oneFile{}
	fsys.data, fsys.sizeErr = whole, errUnreadable
	_, _, err = readSegmentHead(fsys, "x.log")
	require.ErrorIs(t, err, errUnreadable)
	assert.True(t, fsys.closed)
	assert.Equal(t, "x.log", filepath.Base(fsys.opened))
	assert.False(t, errors.As(err, new(*CorruptError)))
}

package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func testFrame(index uint64, base int64, n int, pad int) Frame {
	var body bytes.Buffer
	for i := range int64(n) {
		fmt.Fprintf(&body, "2026-11-22 17:16:%02d.000 liked 0 %d - \"%s\" PRODUCE\n", (base+i)%60, base+i, strings.Repeat("x", pad))
	}
	return Frame{Index: index, Term: 1, Kind: KindRecords, BaseOffset: base, Count: n, Body: body.Bytes()}
}

// A large body gets an entry for each of its blocks, which names the first
// record that begins in the block; small frames get one each interval.
func TestIndexer(t *testing.T) {
	x := newIndexer(1000)
	f := testFrame(1, 0, 2000, 100)
	require.Greater(t, len(f.Body), 4*blockSize)
	x.add(&f, 500, 700)
	require.Len(t, x.entries, 1+(len(f.Body)-1)/blockSize)
	for i, e := range x.entries {
		assert.EqualValues(t, 500, e.Pos)
		assert.EqualValues(t, 1, e.Index)
		line, _, _ := bytes.Cut(f.Body[e.Line-700:], []byte{'\n'})
		l, err := ParseLine(line)
		require.NoError(t, err, "entry %d does not point at the beginning of a line", i)
		assert.Equal(t, e.Offset, l.Offset)
		if i > 0 {
			assert.Equal(t, i, int(e.Line-700)/blockSize)
			assert.NotEqual(t, byte('\n'), f.Body[e.Line-700])
			before := bytes.Count(f.Body[:e.Line-700], []byte{'\n'})
			assert.EqualValues(t, before, e.Offset)
		}
	}
	n, next := len(x.entries), int64(2000)
	at := int64(700 + len(f.Body))
	for i := range uint64(10) {
		small := testFrame(2+i, next, 1, 100)
		x.add(&small, at, at+50)
		at, next = at+300, next+1
	}
	for i := n; i < len(x.entries); i++ {
		assert.GreaterOrEqual(t, x.entries[i].Pos-x.entries[i-1].Pos, int64(1000))
	}
	assert.Less(t, len(x.entries), n+5)

	c := cutIndex(x.entries, x.entries[n].Pos, 1000, x.maxTime())
	assert.Equal(t, x.entries[:n], c.entries, "an entry at the cut is gone")
	assert.Equal(t, x.maxTime(), c.maxTime(), "too great is allowed, too small is not")
	x.entries = append(x.entries[:0:0], x.entries...)
	c.entries = append(c.entries, entry{Offset: 9999})
	assert.NotEqualValues(t, 9999, x.entries[n].Offset, "a cut index does not share memory with the one that readers have")
}

// Timestamps need not ascend: each block's entry knows the greatest one before it.
func TestIndexerKnowsTheNewestBeforeEachBlock(t *testing.T) {
	const newest, line = "2026-11-22 17:18:00.000", "2026-11-22 17:16:00.000 liked 0 %d - \"%0100d\" PRODUCE\n"
	f := Frame{Index: 1, Term: 1, Kind: KindRecords}
	for len(f.Body) < 3*blockSize {
		f.Body = fmt.Appendf(f.Body, line, f.Count, 0)
		f.Count++
	}
	copy(f.Body, newest)
	want, ok := parseTimestamp([]byte(newest))
	require.True(t, ok)
	x := newIndexer(1000)
	x.add(&f, 500, 700)
	require.Greater(t, len(x.entries), 2)
	assert.EqualValues(t, noTime, x.entries[0].MaxTime)
	for _, e := range x.entries[1:] {
		assert.Equal(t, want, e.MaxTime)
	}
	first, ok := byTime(x.entries, want-1000)
	require.True(t, ok)
	assert.Zero(t, first.Offset)
}

func TestIndexLookups(t *testing.T) {
	entries := []entry{{10, 1, 0, 5, noTime}, {20, 4, 100, 105, 500}, {20, 5, 200, 205, 500}, {35, 9, 300, 305, 900}}
	for offset, want := range map[int64]int{9: -1, 10: 0, 19: 0, 20: 2, 34: 2, 35: 3, 1000: 3} {
		e, i := byOffset(entries, offset)
		require.Equal(t, want, i, "offset %d", offset)
		if want >= 0 {
			assert.Equal(t, entries[want], e)
		}
	}
	for index, want := range map[uint64]int{0: -1, 1: 0, 3: 0, 4: 1, 5: 2, 8: 2, 9: 3, 99: 3} {
		e, ok := byIndex(entries, index)
		require.Equal(t, want >= 0, ok, "index %d", index)
		if ok {
			assert.Equal(t, entries[want], e)
		}
	}
	for ts, want := range map[int64]int{0: 0, 500: 0, 501: 2, 900: 2, 901: 3} {
		e, ok := byTime(entries, ts)
		require.True(t, ok, "time %d", ts)
		assert.Equal(t, entries[want], e, "time %d", ts)
	}
	_, ok := byTime(nil, 5)
	assert.False(t, ok)
}

// An index file is for one segment: that of an earlier one of the same name may
// come back after a power cut, whole and with a right checksum.
func TestIndexKey(t *testing.T) {
	s := segment{size: 1, base: 2, first: 3, last: 4, next: 5, lastAt: 6, maxTime: 7}
	entries := []entry{{1, 2, 3, 4, 5}}
	file := encodeIndex(entries, s.indexKey())
	got, err := decodeIndex(file, s.indexKey())
	require.NoError(t, err)
	assert.Equal(t, entries, got)
	for name, change := range map[string]func(s *segment){
		"size": func(s *segment) { s.size++ }, "base": func(s *segment) { s.base++ }, "first": func(s *segment) { s.first++ },
		"last": func(s *segment) { s.last++ }, "next": func(s *segment) { s.next++ },
		"append time": func(s *segment) { s.lastAt++ }, "greatest time": func(s *segment) { s.maxTime++ },
	} {
		other := s
		change(&other)
		_, err := decodeIndex(file, other.indexKey())
		assert.ErrorIs(t, err, errIndexFile, name)
	}
	for n := range file {
		_, err := decodeIndex(file[:n], s.indexKey())
		require.ErrorIs(t, err, errIndexFile, "%d bytes", n)
		flipped := bytes.Clone(file)
		flipped[n] ^= 0x10
		_, err = decodeIndex(flipped, s.indexKey())
		require.ErrorIs(t, err, errIndexFile, "byte %d", n)
	}
}

func TestFields(t *testing.T) {
	for _, row := range []struct {
		text string
		want uint64
		ok   bool
	}{
		{"0", 0, true},
		{"7 8", 7, true},
		{"18446744073709551615", 1<<64 - 1, true},
		{"9999999999999999999 x", 9999999999999999999, true},
		{"18446744073709551616", 0, false},
		{"99999999999999999999", 0, false},
		{"", 0, false},
		{" 7", 0, false},
		{"07", 0, false},
		{"00", 0, false},
		{"+7", 0, false},
		{"-7", 0, false},
		{"7x", 0, false},
		{"0x7", 0, false},
		{"7\t", 0, false},
	} {
		f := fields{rest: []byte(row.text)}
		got := f.uint()
		require.Equal(t, row.ok, f.err == nil, "%q: %v", row.text, f.err)
		if row.ok {
			assert.Equal(t, row.want, got, row.text)
			g := fields{rest: []byte(row.text)}
			assert.Equal(t, row.want, g.anyUint(), "the slow way: %q", row.text)
			assert.Equal(t, g.rest, f.rest)
		}
	}
	for text, want := range map[string]string{`"a b" 1`: "a b", `"\"\\" 1`: `"\`, `"" 1`: "", `"é" 1`: "é"} {
		f := fields{rest: []byte(text)}
		assert.Equal(t, want, f.quoted())
		assert.EqualValues(t, 1, f.uint(), text)
		assert.NoError(t, f.end())
	}
	for _, text := range []string{`"a`, `a`, ``, `"a\"`} {
		f := fields{rest: []byte(text)}
		f.quoted()
		assert.Error(t, f.err, "%q", text)
	}
	for text, ok := range map[string]bool{"0123abcd": true, "0123ABCD": false, "123abcd": false, "00123abcd": false, "0123abcg": false} {
		f := fields{rest: []byte(text)}
		v := f.hex()
		require.Equal(t, ok, f.err == nil, text)
		if ok {
			assert.Equal(t, text, string(appendHex(nil, v)))
		}
	}
	f := fields{rest: []byte("1 2")}
	f.uint()
	assert.Error(t, f.end(), "a field is left")
	first := errors.New("first")
	f.fail(first)
	assert.NotErrorIs(t, f.end(), first, "the error that came first is kept")
}

// Each line of the format comes back as it was written, is bound to its replica,
// and no changed bit of it passes.
func TestLinesOfTheFormat(t *testing.T) {
	id := Identity{ClusterID: "c \"1\"", TopicID: "t", Topic: "liked", Partition: 3, Broker: 2, ReplicaID: 1<<64 - 1}
	seed := newChecksums(id).local
	head := segmentHead{id: id, boot: "b\n", prevBase: 7, prevSize: 8, prevMax: noTime}
	cp := Checkpoint{
		Index: 9, Term: 3, HardTerm: 4, Vote: 2, Applied: 8, NextOffset: 100, LogStart: 50,
		ConfState: []byte{0, 255}, Producers: []byte("p"), Compaction: []byte("c"), Terms: []TermStart{{0, 1}, {5, 3}},
	}
	end := partEnd{CompactedInfo: CompactedInfo{Generation: 7, To: 9, Start: 1, Next: 40, Records: 3, Tombstones: 1, AppendTime: 5}, part: 1, parts: 2, frames: 2, maxTime: -3}
	for name, row := range map[string]struct {
		line  []byte
		parse func(line []byte, seed uint32) (any, error)
		want  any
		bound bool // to the replica
	}{
		"segment head": {appendSegmentHead(nil, &head), func(l []byte, _ uint32) (any, error) {
			h, err := parseSegmentHead(l)
			if err != nil {
				return nil, err
			}
			return *h, nil
		}, head, false},
		"checkpoint": {appendCheckpoint(nil, &cp, 77, seed), func(l []byte, s uint32) (any, error) {
			got, at, err := parseCheckpoint(l, s)
			if err == nil && at != 77 {
				return nil, fmt.Errorf("append time %d", at)
			}
			return got, err
		}, cp, true},
		"hard state": {appendHardState(nil, 5, 6, seed), func(l []byte, s uint32) (any, error) {
			term, vote, err := parseHardState(l, s)
			return [2]uint64{term, vote}, err
		}, [2]uint64{5, 6}, true},
		"sync mark": {appendSyncMark(nil, 5, "b 1", seed), func(l []byte, s uint32) (any, error) {
			index, boot, err := parseSyncMark(l, s)
			return fmt.Sprint(index, boot), err
		}, fmt.Sprint(5, "b 1"), true},
		"end of a part": {appendPartEnd(nil, &end, seed), func(l []byte, s uint32) (any, error) { return parsePartEnd(l, s) }, end, true},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, byte('\n'), row.line[len(row.line)-1])
			require.Equal(t, 1, bytes.Count(row.line, []byte{'\n'}))
			line := row.line[:len(row.line)-1]
			got, err := row.parse(line, seed)
			require.NoError(t, err)
			assert.Equal(t, row.want, got)
			_, err = row.parse(line, seed+1)
			assert.Equal(t, row.bound, err != nil)
			for at := range line {
				for bit := range 8 {
					bad := bytes.Clone(line)
					bad[at] ^= 1 << bit
					_, err := row.parse(bad, seed)
					require.Error(t, err, "bit %d of byte %d", bit, at)
				}
			}
		})
	}
}

// A line of a format version that this program does not know says so, and is not
// taken for damage.
func TestNewerVersions(t *testing.T) {
	id := Identity{ClusterID: "c"}
	newer := func(line []byte, seed uint32) []byte {
		text := bytes.Replace(line[:len(line)-10], []byte(" 1 "), []byte(" 2 "), 1)
		b := appendLineSum(text, 0, seed)
		return b[:len(b)-1]
	}
	_, err := parseSegmentHead(newer(appendSegmentHead(nil, &segmentHead{id: id}), 0))
	assert.ErrorIs(t, err, ErrNewerFormat)
	_, err = parsePartEnd(newer(appendPartEnd(nil, &partEnd{}, 9), 9), 9)
	assert.ErrorIs(t, err, ErrNewerFormat)
	f := Frame{Index: 1, Kind: KindEmpty}
	_, _, err = parseHeadLine(newer(appendFrameHead(nil, fuzzSums, &f, 0), fuzzSums.local))
	assert.ErrorIs(t, err, ErrNewerFormat)
	assert.True(t, (&badItem{err: err}).intact())
}

package logfile

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`2026-11-22 17:16:03.123 liked 0 42 "user-42" {"post":7} PRODUCE`))
	f.Add([]byte(`2026-11-22 17:16:03.123 liked 0 42 t"a\" b" b"AA==" PRODUCE {"h":"x y"}`))
	f.Add([]byte(`2026-11-22 17:16:03.123 liked 0 42 - - TOMBSTONE`))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := ParseLine(line)
		if err != nil {
			return
		}
		back := line[: timestampLen+1 : timestampLen+1]
		back = append(append(back, l.Topic...), ' ')
		back = appendInt(back[:len(back)-1], int64(l.Partition))
		back = appendInt(back, l.Offset)
		for _, token := range [][]byte{l.Key, l.Value, l.Action, l.Headers} {
			if len(token) > 0 {
				back = append(append(back, ' '), token...)
			}
		}
		require.Equal(t, string(line), string(back), "a line is the sum of its tokens")
	})
}

// FuzzLineParser: what a line says does not depend on the ones before it.
func FuzzLineParser(f *testing.F) {
	const first = `2026-11-22 17:16:03.123 liked 0 42 "user-42" {"post":7} PRODUCE`
	for _, next := range []string{
		`2026-11-22 17:16:03.999 liked 0 43 - - TOMBSTONE`,
		`2026-11-22 17:16:04.000 liked 0 43 "user-42" {"post":7} PRODUCE {"h":"x y"}`,
		`1969-11-22 17:16:03.123 liked 1 9223372036854775807 1 2 PRODUCE`,
		`2026-11-22 17:16:03.12x liked 0 42 1 2 PRODUCE`,
		`2026-11-22 17:16:03.123 liked 0 042 1 2 PRODUCE`,
		`2026-11-22 17:16:03.123 liked 0 18446744073709551615 1 2 PRODUCE`,
		`2026-11-22 17:16:03.123 liked 0  1 2 PRODUCE`,
		`2026-11-22 17:16:03.123 liked 0 `,
		`2026-11-22 17:16:03.123 liked 0 42 1 2 `,
		`2026-11-22 17:16:03.123`,
	} {
		f.Add([]byte(first), []byte(next))
		f.Add([]byte(next), []byte(first))
	}
	f.Fuzz(func(t *testing.T, first, next []byte) {
		var p lineParser
		var r Record
		for _, line := range [][]byte{first, next, next} {
			want, err := ParseLine(line)
			if got := p.parse(line, &r); err != nil {
				require.Error(t, got)
				continue
			} else {
				require.NoError(t, got)
			}
			require.Equal(t, want.Record, r)
		}
	})
}

var fuzzSums = newChecksums(Identity{ClusterID: "c", TopicID: "t", ReplicaID: 1})

func FuzzFrameHead(f *testing.F) {
	fr := Frame{Index: 1, Term: 2, Kind: KindRecords, BaseOffset: 3, Count: 1, AppendTime: 5, Body: []byte("x\n")}
	head := appendFrameHead(nil, fuzzSums, &fr, 7)
	f.Add(head[:len(head)-1])
	f.Fuzz(func(t *testing.T, line []byte) {
		h, blocks, err := parseHeadLine(line)
		if err != nil {
			return
		}
		require.LessOrEqual(t, h.length, MaxBody)
		require.Equal(t, h.length > blockSize, blocks > 0)
		_ = h.check(fuzzSums, line, make([]byte, blocks))
		if h.length > blockSize {
			return // it would have to have a body of that length
		}
		f := h.Frame
		f.Body = make([]byte, h.length)
		back := appendFrameHead(nil, fuzzSums, &f, h.synced)
		again, _, err := parseHeadLine(back[:len(back)-1])
		require.NoError(t, err)
		require.NoError(t, again.check(fuzzSums, back[:len(back)-1], nil))
		again.sum = h.sum // that of the body
		require.Equal(t, h, again)
	})
}

// FuzzIndexFile: an index that is accepted is the one that was written.
func FuzzIndexFile(f *testing.F) {
	const key = 7
	sum := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, Checksum(b)) }
	for _, entries := range [][]entry{nil, {{1, 2, 3, 4, 5}}, {{1 << 62, 1<<64 - 1, -1, 0, 9}, {0, 0, 0, 0, 0}}} {
		whole := encodeIndex(entries, key)
		f.Add(whole[:len(whole)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = decodeIndex(body, key)
		whole := sum(bytes.Clone(body)) // past the checksum
		entries, err := decodeIndex(whole, key)
		if err != nil {
			return
		}
		require.Equal(t, whole, encodeIndex(entries, key))
	})
}

// FuzzPartEnd: the last line of a part says the same when it is written again.
func FuzzPartEnd(f *testing.F) {
	e := partEnd{CompactedInfo: CompactedInfo{Generation: 7, To: 9, Start: 1, Next: 40, Records: 3, Tombstones: 1, AppendTime: 5}, parts: 1, frames: 2}
	line := appendPartEnd(nil, &e, fuzzSums.local)
	text, err := checkLineSum(line[:len(line)-1], fuzzSums.local)
	require.NoError(f, err)
	f.Add(text, "00000000000000000001-00000000000000000007.log")
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		line := appendLineSum(bytes.Clone(text), 0, fuzzSums.local) // past the checksum
		if e, err := parsePartEnd(line[:len(line)-1], fuzzSums.local); err == nil {
			back := appendPartEnd(nil, &e, fuzzSums.local)
			again, err := parsePartEnd(back[:len(back)-1], fuzzSums.local)
			require.NoError(t, err)
			require.Equal(t, e, again)
		}
		if base, generation, ok := partName(name); ok {
			require.Equal(t, name, partPath("", base, generation))
		}
	})
}

// FuzzOpaqueBody: bytes of an entry without records come back from its line,
// and a line that is accepted is the one that was written.
func FuzzOpaqueBody(f *testing.F) {
	f.Add([]byte("\x00\xff"))
	f.Add([]byte(nil))
	f.Add([]byte("#e AA==\n"))
	f.Add([]byte("#e A\nA==\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		back, err := OpaqueData(OpaqueBody(data))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, back))
		if content, err := OpaqueData(data); err == nil {
			require.Equal(t, string(data), string(OpaqueBody(content)))
		}
	})
}

func FuzzCheckpointLine(f *testing.F) {
	cp := Checkpoint{Index: 1, Term: 1, ConfState: []byte("x"), Terms: []TermStart{{0, 0}, {1, 1}}}
	line := appendCheckpoint(nil, &cp, 9, fuzzSums.local)
	text, err := checkLineSum(line[:len(line)-1], fuzzSums.local)
	require.NoError(f, err)
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		line := appendLineSum(append([]byte(nil), text...), 0, fuzzSums.local) // past the checksum
		line = line[:len(line)-1]
		if cp, at, err := parseCheckpoint(line, fuzzSums.local); err == nil {
			back := appendCheckpoint(nil, &cp, at, fuzzSums.local)
			again, at2, err := parseCheckpoint(back[:len(back)-1], fuzzSums.local)
			require.NoError(t, err)
			require.Equal(t, at, at2)
			require.Equal(t, cp, again)
		}
		_, _ = parseSegmentHead(appendLineSum(append([]byte(nil), text...), 0, 0))
		_, _, _ = parseHardState(line, fuzzSums.local)
		_, _, _ = parseSyncMark(line, fuzzSums.local)
	})
}

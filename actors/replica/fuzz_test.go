package replica

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/actors/level"
	"ottla/logfile"
)

// FuzzProducerLine: a line of a log says the same when it is written again.
func FuzzProducerLine(f *testing.F) {
	for _, s := range []*producerState{
		{id: "p/1", epoch: 1, request: request{seq: 2, base: 3, count: 4, timestamp: 5}},
		{id: `key:"a"#`, hash: 1<<64 - 1, request: request{base: 1<<63 - 1, seq: 1<<63 - 1, timestamp: -1}},
	} {
		line := s.appendLine(nil)
		f.Add(line[len("#p ") : len(line)-1])
	}
	f.Add([]byte("+1 02 0F 3 4 5 a\u00a0b"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseProducerLine(line)
		if err != nil {
			return
		}
		lines := logfile.ProducerLines(logfile.Frame{Body: s.appendLine(nil)})
		require.Len(t, lines, 1)
		again, err := parseProducerLine(lines[0])
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

// FuzzProducerTable: a table that is accepted is whole and is what it is
// written as; it costs no more than its bytes.
func FuzzProducerTable(f *testing.F) {
	table := newProducerTable()
	f.Add(table.encode(level.Newest))
	for i, id := range []string{"p/1", "key:order-7", "x"} {
		table.put(&producerState{id: id, epoch: int64(i), hash: 1<<64 - 1, request: request{seq: 1 << 40, base: int64(i), count: 7, timestamp: 5}, at: int64(6 + i)})
	}
	good := table.encode(level.Newest)
	f.Add(good)
	for seq := range int64(7) {
		table.put(&producerState{id: "kafka:7", request: request{seq: seq, base: seq, count: 1}, at: 10 + seq})
	}
	f.Add(table.encode(level.Newest))
	f.Add(good[:len(good)-3])
	f.Add(append(bytes.Clone(good), good[1:]...)) // every producer twice
	f.Add((&producerState{id: "key:order-7", request: request{count: 1}, at: 6}).appendTo([]byte{producerTableFormat}, producerTableFormat))
	f.Add([]byte{producerTableWithHashes, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{producerTableFormat, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := decodeProducerTable(data)
		if err != nil {
			return
		}
		require.Len(t, table.ids(), len(table.byID), "a producer is there once")
		require.LessOrEqual(t, len(table.byID)+table.keys.len(), len(data)/15)
		again, err := decodeProducerTable(table.encode(level.Newest))
		require.NoError(t, err)
		require.Equal(t, table.encode(level.Newest), again.encode(level.Newest))
		for _, id := range table.ids() {
			require.Equal(t, table.get(id), again.get(id))
		}
		table.put(&producerState{id: "new", at: 1 << 60})
		require.Len(t, table.ids(), len(table.byID))
	})
}

// FuzzEntry: an entry that raft hands over goes to the log and comes back as
// it was, or is refused.
func FuzzEntry(f *testing.F) {
	body := []byte("2026-11-22 17:16:03.123 liked 0 42 - 1 PRODUCE\n")
	data := encodeEntry(append(make([]byte, entryHeaderSize), body...), logfile.KindRecords, 42, 1, 1790000000123)
	f.Add(int32(raftpb.EntryNormal), data)
	f.Add(int32(raftpb.EntryNormal), data[:entryHeaderSize])
	f.Add(int32(raftpb.EntryNormal), []byte{})
	f.Add(int32(raftpb.EntryConfChange), []byte{1})
	f.Add(int32(raftpb.EntryConfChangeV2), []byte(nil))
	f.Fuzz(func(t *testing.T, kind int32, data []byte) {
		if kind < 0 || kind > int32(raftpb.EntryConfChangeV2) {
			return // raft has no others
		}
		e := raftpb.Entry{Index: 7, Term: 3, Type: raftpb.EntryType(kind), Data: data}
		frame, err := frameOf(&e, 42, 5)
		if err != nil {
			return
		}
		back, err := entryOf(&frame)
		if err != nil {
			require.False(t, written(&frame), "%v", err)
			return
		}
		if !written(&frame) {
			return
		}
		require.Equal(t, e.Type, back.Type)
		require.True(t, bytes.Equal(e.Data, back.Data), "%q comes back as %q", e.Data, back.Data)
	})
}

// written reports whether a leader makes entries of that kind.
func written(f *logfile.Frame) bool {
	switch f.Kind {
	case logfile.KindRecords, logfile.KindControl:
		return true
	case logfile.KindEmpty, logfile.KindConfChange:
		return f.Count == 0
	}
	return false
}

// FuzzEntryOfFrame: no frame that a log can hold makes a panic of an entry.
func FuzzEntryOfFrame(f *testing.F) {
	f.Add(byte(logfile.KindConfChange), logfile.OpaqueBody([]byte{1, 2}))
	f.Add(byte(logfile.KindConfChange), logfile.OpaqueBody(nil))
	f.Add(byte(logfile.KindControl), logfile.OpaqueBody([]byte(`{"log_start":5}`)))
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		e, err := entryOf(&logfile.Frame{Index: 1, Term: 1, Kind: logfile.Kind(kind), Body: body})
		if err != nil {
			require.NotContains(t, err.Error(), "%!")
			return
		}
		if logfile.Kind(kind) == logfile.KindConfChange {
			frame, err := frameOf(&e, 0, 0)
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, frame.Body))
		}
	})
}

// FuzzCompaction: what a checkpoint or a snapshot says of compaction says the
// same when it is written again.
func FuzzCompaction(f *testing.F) {
	c := Compaction{Generation: 3, To: 9, Next: 40, Start: 1, DropBelow: 7, Mark: 8, MarkedAt: 1790000000123}
	f.Add(c.encode())
	f.Add([]byte(`{"generation":18446744073709551615}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCompaction(data)
		if err != nil || c.Generation == 0 {
			return
		}
		again, err := decodeCompaction(c.encode())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

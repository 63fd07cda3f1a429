package peers

import (
	"bytes"
	"encoding/binary"
	"errors"

	"go.etcd.io/raft/v3/raftpb"
)

// Raft messages travel in raft's own form, protobuf. Its library copies the entries when it
// encodes and again when it decodes, and each copy of a large one is garbage at once. Here they
// are encoded around the entries' data, and decoded to slices of what has arrived.

// Tags of raftpb: the field's number, and how it is encoded.
const (
	tagEntries    = 7<<3 | 2 // of Message
	tagEntryType  = 1 << 3
	tagEntryTerm  = 2 << 3
	tagEntryIndex = 3 << 3
	tagEntryData  = 4<<3 | 2
)

// encodeRaft returns a message in pieces, which share the memory of its entries.
func encodeRaft(m *raftpb.Message) (parts [][]byte, err error) {
	entries := m.Entries
	bare := *m
	bare.Entries = nil
	head, err := bare.Marshal()
	if err != nil {
		return nil, err
	}
	parts = append(make([][]byte, 0, 1+2*len(entries)), head)
	for i := range entries {
		e := &entries[i]
		h := make([]byte, 0, 48)
		h = append(h, tagEntryType)
		h = binary.AppendUvarint(h, uint64(e.Type))
		h = append(h, tagEntryTerm)
		h = binary.AppendUvarint(h, e.Term)
		h = append(h, tagEntryIndex)
		h = binary.AppendUvarint(h, e.Index)
		if e.Data != nil {
			h = append(h, tagEntryData)
			h = binary.AppendUvarint(h, uint64(len(e.Data)))
		}
		before := binary.AppendUvarint(append(make([]byte, 0, 12+len(h)), tagEntries), uint64(len(h)+len(e.Data)))
		parts = append(parts, append(before, h...))
		if len(e.Data) > 0 {
			parts = append(parts, e.Data)
		}
	}
	return parts, nil
}

var errRaftMessage = errors.New("a raft message cannot be decoded")

// decodeRaft decodes a message, whose large entries share the memory of b from then on.
func decodeRaft(b []byte) (m raftpb.Message, err error) {
	var entries []raftpb.Entry
	size := len(b)
	rest := make([]byte, 0, 128) // what is no entry
	for len(b) > 0 {
		tag, field, after, ok := takeField(b)
		if !ok {
			return m, errRaftMessage
		}
		if tag != tagEntries {
			rest = append(rest, b[:len(b)-len(after)]...)
			b = after
			continue
		}
		e, ok := decodeEntry(field)
		if !ok {
			return m, errRaftMessage
		}
		if len(e.Data) < size/4 { // else it keeps the whole message in memory for as long as it is kept
			e.Data = bytes.Clone(e.Data)
		}
		entries = append(entries, e)
		b = after
	}
	err = m.Unmarshal(rest)
	m.Entries = entries
	return m, err
}

func decodeEntry(b []byte) (e raftpb.Entry, ok bool) {
	for len(b) > 0 {
		tag, field, after, ok := takeField(b)
		if !ok {
			return e, false
		}
		switch tag {
		case tagEntryType, tagEntryTerm, tagEntryIndex:
			v, _ := binary.Uvarint(field)
			switch tag {
			case tagEntryType:
				e.Type = raftpb.EntryType(v)
			case tagEntryTerm:
				e.Term = v
			default:
				e.Index = v
			}
		case tagEntryData:
			e.Data = field[:len(field):len(field)]
		}
		b = after
	}
	return e, true
}

// takeField takes a field off b: a number's bytes, or what is in a field with a length.
// Raft's messages have no others.
func takeField(b []byte) (tag uint64, field, after []byte, ok bool) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 == 0 {
		return 0, nil, nil, false
	}
	b = b[n:]
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, nil, false
	}
	switch tag & 7 {
	case 0:
		return tag, b[:n], b[n:], true
	case 2:
		b = b[n:]
		if v > uint64(len(b)) {
			return 0, nil, nil, false
		}
		return tag, b[:v], b[v:], true
	}
	return 0, nil, nil, false
}

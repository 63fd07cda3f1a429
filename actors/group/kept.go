package group

import (
	"bytes"
	"encoding/json"
	"slices"

	"ottla/actors/metarecord"
	"ottla/actors/queue"
	"ottla/protocol"
)

// Kept is what every replica keeps of a group: its newest records, from which its
// State can be built when this replica becomes the coordinator. There are many
// groups, most of them with two records, so it is kept small.
type Kept struct {
	records []keptRecord          // the newest per key, ascending by key
	Members []protocol.ConsumerID // of its newest generation, former members included
	Alive   bool                  // one of the members, at least, has a lease that is not known to have run out
}

// keptRecord is a metarecord.Record with a value, in one piece of memory of its
// own.
type keptRecord struct {
	action string
	text   []byte // the key, then the value
	keyLen int
}

func keepRecord(rec metarecord.Record) keptRecord {
	text := make([]byte, 0, len(rec.Key)+len(rec.Value))
	text = append(append(text, rec.Key...), rec.Value...)
	return keptRecord{action: rec.Action, text: text, keyLen: len(rec.Key)}
}

// replace puts a record with the same key in the place of k. A commit nearly always fits
// into the memory of the one before, and every replica keeps every commit.
func (k *keptRecord) replace(rec metarecord.Record) {
	if n := len(rec.Key) + len(rec.Value); n > cap(k.text) || n < cap(k.text)/2 {
		*k = keepRecord(rec)
		return
	}
	k.action, k.text = rec.Action, append(k.text[:k.keyLen], rec.Value...)
}

func (k *keptRecord) key() []byte   { return k.text[:k.keyLen] }
func (k *keptRecord) value() []byte { return k.text[k.keyLen:] }

// Set applies a record: it takes the place of the one with the same key, or, with
// a nil value, removes it. The record's memory is not kept.
func (g *Kept) Set(rec metarecord.Record) {
	i, found := slices.BinarySearchFunc(g.records, rec.Key, func(r keptRecord, key []byte) int {
		return bytes.Compare(r.key(), key)
	})
	switch {
	case rec.Value == nil && found:
		g.records = slices.Delete(g.records, i, i+1)
	case rec.Value == nil:
	case found:
		g.records[i].replace(rec)
	default:
		g.records = slices.Insert(g.records, i, keepRecord(rec))
	}
	if rec.Action != actionCommit && actionKinds[rec.Action] == keyGroup {
		g.Members, g.Alive = membersOf(rec.Value)
	}
}

// List returns the records, ascending by key, in memory of their own; nil for a nil
// Kept.
func (g *Kept) List() []metarecord.Record {
	if g == nil {
		return nil
	}
	list := make([]metarecord.Record, len(g.records))
	for i := range g.records {
		k := &g.records[i]
		list[i] = metarecord.Record{Action: k.action, Key: bytes.Clone(k.key()), Value: bytes.Clone(k.value())}
	}
	return list
}

// IsQueue reports whether the group is a queue.
func (g *Kept) IsQueue() bool {
	return slices.ContainsFunc(g.records, func(k keptRecord) bool {
		return bytes.HasPrefix(k.key(), []byte(`["`+queue.KeyQueue+`",`))
	})
}

// Mentions reports whether the records name a topic id. They are searched as text:
// an id is random hex, so it is found in nothing else.
func (g *Kept) Mentions(topicID string) bool {
	return slices.ContainsFunc(g.records, func(k keptRecord) bool { return bytes.Contains(k.text, []byte(topicID)) })
}

// LastUse is when the records were last changed, in milliseconds since 1970; 0 if
// there are none.
func (g *Kept) LastUse() int64 {
	last := int64(0)
	for i := range g.records {
		if !queue.HasTime(string(g.records[i].key())) {
			continue
		}
		var v struct {
			At int64 `json:"at"`
		}
		if json.Unmarshal(g.records[i].value(), &v) == nil {
			last = max(last, v.At)
		}
	}
	return last
}

// membersOf lists the present and former members in a membership record's value;
// it serves to find the groups of a consumer. alive is what Kept.Alive is.
func membersOf(value []byte) (ids []protocol.ConsumerID, alive bool) {
	var v membershipValue
	if len(value) == 0 || json.Unmarshal(value, &v) != nil {
		return nil, false
	}
	ids = slices.Clone(v.Former)
	for i := range v.Members {
		ids = append(ids, v.Members[i].ID)
		alive = alive || v.Members[i].LapsedAt == 0
	}
	return ids, alive
}

// Empty reports whether no record of the group is left.
func (g *Kept) Empty() bool { return len(g.records) == 0 }

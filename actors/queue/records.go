package queue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Kinds of keys in __consumer_offsets, with the form of the key. They may not be
// given to anything else, ever.
const (
	KeyQueue    = "q"  // ["q","<group>"]
	keyPosition = "qp" // ["qp","<group>","<topic id>",<partition>]
	keyEnds     = "qe" // ["qe","<group>","<topic id>",<partition>[,<page>]]
	keyNode     = "qn" // ["qn","<group>","<topic id>",<partition>,<level>,<index>]
)

// Actions of the records.
const (
	actionSettings = "QUEUE"
	actionPosition = "QUEUE_POSITION"
	actionEnds     = "QUEUE_ENDS"
	actionPage     = "QUEUE_ENDS_PAGE" // of endings, beside the first
	actionNode     = "QUEUE_RECORDS"
	actionDrop     = "QUEUE_DROP"
)

// GroupOfKey returns the group of a key of a queue's records; false for any other
// key.
func GroupOfKey(kind string, args []string) (group string, ok bool) {
	switch {
	case kind == KeyQueue && len(args) == 1, kind == keyPosition && len(args) == 3, kind == keyEnds && (len(args) == 3 || len(args) == 4), kind == keyNode && len(args) == 5:
		return args[0], true
	}
	return "", false
}

// HasTime reports whether the value of a queue's record may say when it was written.
func HasTime(key string) bool {
	return !strings.HasPrefix(key, `["`+keyEnds+`",`) && !strings.HasPrefix(key, `["`+keyNode+`",`)
}

// The values, each with its format.
type (
	settingsValue struct {
		V int `json:"v"`
		durableSettings
	}
	positionValue struct {
		V        int    `json:"v"`
		Topic    string `json:"topic"`
		Position int64  `json:"position"`
		Seq      int64  `json:"seq,omitempty"`
		Dead     int64  `json:"dead,omitempty"`
		Lost     int64  `json:"lost,omitempty"`
		At       int64  `json:"at"`
	}
	endsValue struct {
		V    int        `json:"v"`
		Ends []endValue `json:"ends"` // oldest first

		Forgotten int64 `json:"forgotten,omitempty"` // without a page number only; see endings
	}
	// endValue is an offset, how often its record was given, and 1 if it has gone to the
	// dead letters.
	endValue  [3]int64
	nodeValue struct {
		V       int        `json:"v"`
		Ended   string     `json:"ended"`             // hexadecimal
		Given   []givenRun `json:"given,omitempty"`   // with a worker, ascending
		Waiting []givenRun `json:"waiting,omitempty"` // given back, ascending
		Dying   []dyingRun `json:"dying,omitempty"`   // to the dead letters, ascending
	}
	// givenRun are records that follow each other: the first's number in its chunk, how
	// many, deliveries, and until when.
	givenRun [4]int64
	dyingRun struct {
		Record int    `json:"n"`
		Count  int    `json:"count"`
		Seq    int64  `json:"seq"`
		Since  int64  `json:"since"`
		Reason string `json:"reason,omitempty"`
	}
)

func (s *State) settingsRecord() []metarecord.Record {
	return []metarecord.Record{{
		Action: actionSettings, Key: metarecord.Key(KeyQueue, s.group), Value: metarecord.JSON(settingsValue{metarecord.Format, *s.cfg}),
	}}
}

// flush returns the records of what has changed since the last one: first how records
// ended, then positions, then nodes from the root down.
func (s *State) flush(now int64) []metarecord.Record {
	var recs []metarecord.Record
	var changed []*partition
	for _, p := range s.parts {
		if p.baseDirty || len(p.endings.dirty) > 0 || len(p.dirty) > 0 {
			changed = append(changed, p)
		}
	}
	// Sorted throughout, so that the same changes make the same records.
	slices.SortFunc(changed, func(a, b *partition) int { return protocol.ComparePartitionIDs(a.id, b.id) })
	for _, p := range changed {
		recs = append(recs, p.endings.flush(s.group, p.id)...)
		if p.baseDirty {
			recs = append(recs, s.positionRecord(now, p))
			p.baseDirty = false
		}
		ids := make([]nodeID, 0, len(p.dirty))
		for id := range p.dirty {
			ids = append(ids, id)
		}
		// Parents first: if only the beginning is committed, a bit above may stand beside
		// the nodes that it replaces (normalize), but no end is lost.
		slices.SortFunc(ids, func(a, b nodeID) int { return cmp.Or(cmp.Compare(b.level, a.level), cmp.Compare(a.index, b.index)) })
		for _, id := range ids {
			_, stored := p.stored[id]
			switch n := p.nodes[id]; {
			case n != nil:
				recs = append(recs, metarecord.Record{Action: actionNode, Key: s.nodeKey(p, id), Value: n.encode(id)})
				p.stored[id] = struct{}{}
			case stored:
				recs = append(recs, metarecord.Record{Action: actionDrop, Key: s.nodeKey(p, id)})
				delete(p.stored, id)
			}
		}
		clear(p.dirty)
	}
	return recs
}

func (s *State) positionRecord(now int64, p *partition) metarecord.Record {
	topic := ""
	if t := s.cfg.topic(p.id.TopicID); t != nil {
		topic = t.Name
	}
	return metarecord.Record{
		Action: actionPosition, Key: metarecord.Key(keyPosition, s.group, p.id.TopicID, p.id.Partition),
		Value: metarecord.JSON(positionValue{metarecord.Format, topic, p.position, p.seq, p.dead, p.lost, now}),
	}
}

func (s *State) nodeKey(p *partition, id nodeID) []byte {
	return metarecord.Key(keyNode, s.group, p.id.TopicID, p.id.Partition, id.level, int(id.index))
}

// encode is the value of a node's record. It is written by hand: there is one for each
// delivery and each end. Records that follow each other and were given alike, as they mostly
// are, take one run.
func (n *node) encode(id nodeID) []byte {
	dst := append(make([]byte, 0, 128), `{"v":1,"ended":"`...)
	dst = strconv.AppendUint(dst, n.ended, 16)
	dst = append(dst, '"')
	dst = n.appendRuns(dst, `,"given":[`, given)
	dst = n.appendRuns(dst, `,"waiting":[`, waiting)
	opened := false
	for i := range n.entries {
		e := &n.entries[i]
		if e.kind != dying {
			continue
		}
		if dst = append(dst, ','); !opened {
			dst = append(dst, `"dying":[`...)
			opened = true
		}
		dst = append(dst, metarecord.JSON(dyingRun{int(e.offset - id.index<<chunkBits), e.count, e.seq, e.until, e.reason})...)
	}
	if opened {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func (n *node) appendRuns(dst []byte, name string, k kind) []byte {
	opened := false
	for i := 0; i < len(n.entries); {
		e := &n.entries[i]
		length := 1
		for i+length < len(n.entries) && n.entries[i+length].follows(e, length) {
			length++
		}
		i += length
		if e.kind != k {
			continue
		}
		if opened {
			dst = append(dst, ',')
		} else {
			dst, opened = append(dst, name...), true
		}
		dst = append(dst, '[')
		dst = strconv.AppendInt(dst, e.offset&(chunkSize-1), 10)
		for _, v := range [...]int64{int64(length), int64(e.count), e.until} {
			dst = strconv.AppendInt(append(dst, ','), v, 10)
		}
		dst = append(dst, ']')
	}
	if opened {
		dst = append(dst, ']')
	}
	return dst
}

// follows reports whether e is to be in one run with first, as the record number n of it.
func (e *entry) follows(first *entry, n int) bool {
	return e.offset == first.offset+int64(n) && e.kind == first.kind && e.kind != dying && e.count == first.count && e.until == first.until
}

// Apply takes a record into the durable state. It fails on one that this build does not
// understand or that is about another group. Call Resume when all are applied. After
// compaction the records come in any order, so no record may need another one to be there
// before it.
func (s *State) Apply(rec metarecord.Record) error {
	kind, args, err := metarecord.SplitKey(rec.Key)
	if err != nil {
		return err
	}
	group, ok := GroupOfKey(kind, args)
	if !ok || group != s.group {
		return fmt.Errorf("the key %s is of no record of queue %q", rec.Key, s.group)
	}
	if kind == KeyQueue {
		return s.applySettings(rec.Value)
	}
	n, err := strconv.Atoi(args[2])
	if err != nil || n < 0 {
		return fmt.Errorf("partition %q is not a number", args[2])
	}
	p := s.partitionOf(protocol.PartitionID{TopicID: args[1], Partition: n})
	switch kind {
	case keyPosition:
		return s.applyPosition(p, rec.Value)
	case keyEnds:
		return p.applyEnds(args[3:], rec.Value)
	}
	level, err1 := strconv.Atoi(args[3])
	index, err2 := strconv.ParseInt(args[4], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return p.applyNode(nodeID{level, index}, rec.Value)
}

func (s *State) applySettings(value []byte) error {
	if value == nil {
		s.cfg = nil
		return nil
	}
	var v settingsValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	s.cfg = &v.durableSettings
	return nil
}

func (s *State) applyPosition(p *partition, value []byte) error {
	if value == nil {
		p.began, p.position, p.seq, p.dead, p.lost = false, 0, 0, 0, 0
		return nil
	}
	var v positionValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	if v.Position < 0 || v.Position > maxOffset {
		return fmt.Errorf("position %d is out of range", v.Position)
	}
	p.began, p.position, p.seq, p.dead, p.lost = true, v.Position, v.Seq, v.Dead, v.Lost
	for id := range p.nodes { // its drop may be a record that is not there yet
		if id.end() <= p.position {
			p.forgetNode(id)
		}
	}
	return nil
}

func (p *partition) applyEnds(number []string, value []byte) error {
	id := 0
	if len(number) > 0 {
		var err error
		if id, err = strconv.Atoi(number[0]); err != nil || id < 1 || id >= math.MaxInt32 {
			return fmt.Errorf("page %q is not a number above 0", number[0])
		}
	}
	return p.endings.apply(pageID(id), value)
}

func (p *partition) forgetNode(id nodeID) {
	if p.nodes[id] != nil && id.level == 0 {
		p.chunks--
	}
	delete(p.nodes, id)
}

func (p *partition) applyNode(id nodeID, value []byte) error {
	p.forgetNode(id)
	delete(p.stored, id)
	if value == nil {
		return nil
	}
	var v nodeValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	bits, err := strconv.ParseUint(v.Ended, 16, 64)
	if err != nil || id.level < 0 || id.level > topLevel || id.index < 0 || id.index >= maxOffset>>(chunkBits*(id.level+1)) {
		return fmt.Errorf("node %d of level %d has bits %q", id.index, id.level, v.Ended)
	}
	p.stored[id] = struct{}{}
	// A node of before the position moved on: its drop is not there yet, or will never be.
	if id.end() <= p.position {
		return nil
	}
	n := &node{ended: bits}
	if err := n.decode(id, &v); err != nil {
		return err
	}
	p.nodes[id] = n
	if id.level == 0 {
		p.chunks++
	}
	return nil
}

func (n *node) decode(id nodeID, v *nodeValue) error {
	base := id.index << chunkBits
	for k, runs := range [][]givenRun{given: v.Given, waiting: v.Waiting} {
		for _, r := range runs {
			if r[0] < 0 || r[1] < 1 || r[0] > chunkSize || r[1] > chunkSize {
				return fmt.Errorf("node %d of level %d has a run of %d records from %d on", id.index, id.level, r[1], r[0])
			}
			for i := range r[1] {
				n.entries = append(n.entries, entry{offset: base + r[0] + i, count: int(r[2]), kind: kind(k), until: r[3]})
			}
		}
	}
	for _, d := range v.Dying {
		n.entries = append(n.entries, entry{offset: base + int64(d.Record), count: d.Count, kind: dying, until: d.Since, seq: d.Seq, reason: d.Reason})
	}
	slices.SortFunc(n.entries, func(a, b entry) int { return cmp.Compare(a.offset, b.offset) })
	for i := range n.entries {
		e := &n.entries[i]
		if e.offset < base || e.offset >= base+chunkSize || i > 0 && e.offset == n.entries[i-1].offset || n.ended>>(e.offset-base)&1 == 1 || id.level > 0 {
			return fmt.Errorf("record %d does not belong in node %d of level %d", e.offset, id.index, id.level)
		}
	}
	return nil
}

// drop forgets a partition, and returns the records that say so.
func (s *State) drop(p *partition) []metarecord.Record {
	ids := make([]nodeID, 0, len(p.stored))
	for id := range p.stored {
		ids = append(ids, id)
	}
	// Children first, the other way round than a flush: what is forgotten here must not come
	// back as ended.
	slices.SortFunc(ids, func(a, b nodeID) int { return cmp.Or(cmp.Compare(a.level, b.level), cmp.Compare(a.index, b.index)) })
	var recs []metarecord.Record
	for _, id := range ids { // before the position, which would say that they are ended
		recs = append(recs, metarecord.Record{Action: actionDrop, Key: s.nodeKey(p, id)})
	}
	delete(s.parts, p.id)
	s.sorted = nil
	for _, id := range sorted(p.endings.stored) {
		recs = append(recs, metarecord.Record{Action: actionDrop, Key: endsKey(s.group, p.id, id)})
	}
	return append(recs, metarecord.Record{Action: actionDrop, Key: metarecord.Key(keyPosition, s.group, p.id.TopicID, p.id.Partition)})
}

// Dump writes the durable state as text: two queues have equal dumps exactly if their
// durable states are equal.
func (s *State) Dump() string {
	var b strings.Builder
	cfg, _ := json.Marshal(s.cfg) //nolint:gosec // never fails; two queues are held against each other, their secrets included
	fmt.Fprintf(&b, "queue %s %s\n", s.group, cfg)
	for _, p := range s.list() {
		if !p.began && len(p.nodes) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s %d position %d seq %d dead %d lost %d\n", p.id.TopicID, p.id.Partition, p.position, p.seq, p.dead, p.lost)
		if p.endings.has(0) {
			fmt.Fprintf(&b, "  ends 0 %s\n", p.endings.encode(0))
		}
		for _, id := range sorted(p.endings.pages) {
			if id > 0 {
				fmt.Fprintf(&b, "  ends %d %s\n", id, p.endings.encode(id))
			}
		}
		ids := make([]nodeID, 0, len(p.nodes))
		for id := range p.nodes {
			ids = append(ids, id)
		}
		slices.SortFunc(ids, func(a, b nodeID) int { return cmp.Or(cmp.Compare(a.level, b.level), cmp.Compare(a.index, b.index)) })
		for _, id := range ids {
			fmt.Fprintf(&b, "  %d %d %s\n", id.level, id.index, p.nodes[id].encode(id))
		}
	}
	return b.String()
}

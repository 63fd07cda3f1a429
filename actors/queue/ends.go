package queue

import (
	"maps"
	"math"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// A record that is ended was given once and acknowledged, unless an ending says
// otherwise: there is one for each that was given more than once, or died. They are kept
// in pages, each with a record of its own, so that one more rewrites little.
const (
	pageEndings = 128
	maxPages    = 128 // of a queue and kind, beside the newest of each partition
)

// ending is how a record ended that was given more than once, or died.
type ending struct {
	count int32 // deliveries
	dead  bool  // it has gone to the dead letters, or would have if it had still been there
	page  int32
}

// pageID names a page: they are numbered in the order in which a partition began them.
type pageID int32

// page has endings, oldest first. Those of records that died are in pages of their own:
// workers are told wrong things when they are forgotten.
type page struct {
	dead    bool
	offsets []int64
}

// endings are those of a partition.
type endings struct {
	of     map[int64]ending
	pages  map[pageID]*page
	newest [2]pageID // of the kinds; -1: none
	next   pageID
	dirty  map[pageID]struct{}
	stored map[pageID]struct{} // those that have a record
}

func newEndings() endings {
	return endings{
		of: map[int64]ending{}, pages: map[pageID]*page{}, newest: [2]pageID{-1, -1},
		dirty: map[pageID]struct{}{}, stored: map[pageID]struct{}{},
	}
}

// kindOf is the index of a kind of pages.
func kindOf(dead bool) int {
	if dead {
		return 1
	}
	return 0
}

// sorted are the numbers of pages, ascending.
func sorted[V any](pages map[pageID]V) []pageID { return slices.Sorted(maps.Keys(pages)) }

// remember notes how a record has ended. It reports whether that has begun a page: there
// may be too many then, see forgetEndings.
func (n *endings) remember(offset int64, count int, dead bool) (begun bool) {
	how := ending{count: int32(min(count, math.MaxInt32)), dead: dead} //nolint:gosec // bounded
	if known, found := n.of[offset]; found {                           // by a flush that was cut off
		how.page = known.page
		n.of[offset] = how
		n.dirty[pageID(known.page)] = struct{}{}
		return false
	}
	id := n.newest[kindOf(dead)]
	if begun = id < 0 || len(n.pages[id].offsets) >= pageEndings; begun {
		id = n.begin(dead)
	}
	how.page = int32(id)
	n.pages[id].offsets = append(n.pages[id].offsets, offset)
	n.of[offset] = how
	n.dirty[id] = struct{}{}
	return begun
}

func (n *endings) begin(dead bool) pageID {
	id := n.next
	n.next++
	n.pages[id] = &page{dead: dead}
	n.newest[kindOf(dead)] = id
	return id
}

// forgetEndings drops the oldest pages of a kind beyond what a queue may have, of the
// partitions that have most. Each keeps its newest.
func forgetEndings(all []*partition, dead bool) {
	for {
		total, most, victim := 0, 1, (*partition)(nil)
		for _, p := range all {
			count := 0
			for _, pg := range p.endings.pages {
				if pg.dead == dead {
					count++
				}
			}
			total += max(0, count-1)
			if count > most {
				most, victim = count, p
			}
		}
		if total <= maxPages || victim == nil {
			return
		}
		n := &victim.endings
		for _, id := range sorted(n.pages) {
			if n.pages[id].dead == dead {
				n.drop(id)
				break
			}
		}
	}
}

func (n *endings) drop(id pageID) {
	n.clear(id)
	n.dirty[id] = struct{}{}
}

// clear forgets what is in a page.
func (n *endings) clear(id pageID) {
	pg := n.pages[id]
	if pg == nil {
		return
	}
	for _, offset := range pg.offsets {
		if n.of[offset].page == int32(id) {
			delete(n.of, offset)
		}
	}
	delete(n.pages, id)
}

// flush returns the records of the pages that have changed.
func (n *endings) flush(group string, of protocol.PartitionID) (recs []metarecord.Record) {
	for _, id := range sorted(n.dirty) {
		_, stored := n.stored[id]
		switch {
		case n.pages[id] != nil:
			recs = append(recs, metarecord.Record{Action: actionEnds, Key: endsKey(group, of, id), Value: n.encode(id)})
			n.stored[id] = struct{}{}
		case stored:
			recs = append(recs, metarecord.Record{Action: actionDrop, Key: endsKey(group, of, id)})
			delete(n.stored, id)
		}
	}
	clear(n.dirty)
	return recs
}

// endsKey is the key of a page. That of page 0 has no number.
func endsKey(group string, of protocol.PartitionID, id pageID) []byte {
	if id == 0 {
		return metarecord.Key(keyEnds, group, of.TopicID, of.Partition)
	}
	return metarecord.Key(keyEnds, group, of.TopicID, of.Partition, int(id))
}

func (n *endings) encode(id pageID) []byte {
	v := endsValue{V: metarecord.Format}
	for _, offset := range n.pages[id].offsets {
		how := n.of[offset]
		v.Ends = append(v.Ends, endValue{offset, int64(how.count), int64(kindOf(how.dead))})
	}
	return metarecord.JSON(v)
}

// apply takes the record of a page.
func (n *endings) apply(id pageID, value []byte) error {
	n.clear(id)
	delete(n.stored, id)
	if value != nil {
		var v endsValue
		if err := metarecord.Decode(value, &v); err != nil {
			return err
		}
		pg := &page{}
		for _, end := range v.Ends {
			pg.dead = end[2] != 0 // all are of one kind
			pg.offsets = append(pg.offsets, end[0])
			n.of[end[0]] = ending{count: int32(min(max(end[1], 0), math.MaxInt32)), dead: end[2] != 0, page: int32(id)} //nolint:gosec // bounded
		}
		n.pages[id] = pg
		n.stored[id] = struct{}{}
	}
	n.newest, n.next = [2]pageID{-1, -1}, 0
	for other, pg := range n.pages {
		n.newest[kindOf(pg.dead)] = max(n.newest[kindOf(pg.dead)], other)
		n.next = max(n.next, other+1)
	}
	return nil
}

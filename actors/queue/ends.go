package queue

import (
	"maps"
	"math"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// A record that is ended was given once and acknowledged, unless an ending says
// otherwise, or that is forgotten: there is one for each that was given more than once, or
// died. They are kept in pages, each with a record of its own, so that one more rewrites
// little.
const (
	pageEndings = 128
	maxPages    = 16 // of a queue and kind, beside the newest of each partition
)

// ending is how a record ended that was given more than once, or died.
type ending struct {
	count int32 // deliveries
	dead  bool  // it has gone to the dead letters, or would have if it had still been there
	page  int32
}

// pageID names a page: they are numbered from 1 in the order in which a partition began
// them. Page 0 is all that there is below the level of pages: it has the latest endings of
// both kinds.
type pageID int32

// page has endings, oldest first. Those of records that died are in pages of their own,
// but for page 0: more acks are refused when they are forgotten.
type page struct {
	dead    bool // some have died
	offsets []int64
}

// endings are those of a partition.
//
// What is not here is taken for "given once and acknowledged", so forgetting an ending turns
// it into that. Two kinds must not be: an ack of a record that died would be taken, and a
// late ack of an earlier delivery. Hence forgotten, below which no ack of an ended record is taken.
type endings struct {
	size   int // of a page
	of     map[int64]ending
	pages  map[pageID]*page
	newest [2]pageID // of the kinds; 0: none
	next   pageID
	dirty  map[pageID]struct{}
	stored map[pageID]struct{} // those that have a record

	// Below it records may have died, or, below the level of pages, have been given again, of
	// which that is forgotten: an ack is not taken where nothing is known. It is in the
	// record of page 0.
	forgotten int64
}

func newEndings(size int) endings {
	return endings{
		size: size, of: map[int64]ending{}, pages: map[pageID]*page{}, next: 1, dirty: map[pageID]struct{}{}, stored: map[pageID]struct{}{},
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

// remember notes how a record has ended, in pages if paged. It reports whether that has
// begun one: there may be too many then, see forgetEndings.
func (n *endings) remember(offset int64, count int, dead, paged bool) (begun bool) {
	known, found := n.of[offset]
	id := n.newest[kindOf(dead)]
	switch {
	// The record is in the log already, under its page; it may stand in one page only.
	case found: // by a flush that was cut off
		id = pageID(known.page)
	case !paged && n.next == 1: // where there are pages already, one more does no harm
		id = 0
	case id == 0 || len(n.pages[id].offsets) >= n.size:
		id, begun = n.next, true
		n.next++
	}
	pg := n.pages[id]
	if pg == nil {
		pg = &page{}
		n.pages[id] = pg
	}
	if !found {
		pg.offsets = append(pg.offsets, offset)
	}
	n.of[offset] = ending{count: int32(min(count, math.MaxInt32)), dead: dead, page: int32(id)} // bounded
	n.dirty[id] = struct{}{}
	if id == 0 && len(pg.offsets) > n.size {
		n.forget(pg.offsets[0])
		pg.offsets = pg.offsets[1:]
	}
	n.sort(pg)
	n.number()
	return begun
}

// forget forgets how a record ended of which not even the kind is known any more.
func (n *endings) forget(offset int64) {
	delete(n.of, offset)
	n.forgotten = max(n.forgotten, offset+1)
	n.dirty[0] = struct{}{}
}

// sort notes of which kind a page is.
func (n *endings) sort(pg *page) {
	pg.dead = slices.ContainsFunc(pg.offsets, func(offset int64) bool { return n.of[offset].dead })
}

// number notes which pages are the newest.
func (n *endings) number() {
	n.newest = [2]pageID{}
	for id, pg := range n.pages {
		kind := kindOf(pg.dead)
		n.newest[kind] = max(n.newest[kind], id)
		n.next = max(n.next, id+1)
	}
}

// forgetEndings drops the oldest pages of a kind beyond what a queue may have, of the
// partitions that have most. Each keeps its newest.
func forgetEndings(all []*partition, dead bool, pages int) {
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
		if total <= pages || victim == nil {
			return
		}
		n := &victim.endings
		// The oldest of that kind: page numbers ascend.
		for _, id := range sorted(n.pages) {
			if n.pages[id].dead == dead {
				n.drop(id)
				break
			}
		}
	}
}

// drop drops a page. Which records died is not known any more then.
func (n *endings) drop(id pageID) {
	for _, offset := range n.pages[id].offsets {
		if n.of[offset].dead {
			n.forget(offset)
		}
	}
	n.clear(id)
	// So that its record is dropped with the next flush, behind that of page 0, which says
	// from where on nothing is known.
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

// has reports whether a page has something to be written.
func (n *endings) has(id pageID) bool { return n.pages[id] != nil || id == 0 && n.forgotten > 0 }

// flush returns the records of the pages that have changed, that of page 0 first: what is
// dropped with another page is forgotten there before.
func (n *endings) flush(group string, of protocol.PartitionID) (recs []metarecord.Record) {
	for _, id := range sorted(n.dirty) {
		_, stored := n.stored[id]
		switch {
		case n.has(id):
			action := actionPage
			if id == 0 {
				action = actionEnds
			}
			recs = append(recs, metarecord.Record{Action: action, Key: endsKey(group, of, id), Value: n.encode(id)})
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
	v := endsValue{V: metarecord.Format, Ends: []endValue{}}
	if id == 0 {
		v.Forgotten = n.forgotten
	}
	if pg := n.pages[id]; pg != nil {
		for _, offset := range pg.offsets {
			how := n.of[offset]
			v.Ends = append(v.Ends, endValue{offset, int64(how.count), int64(kindOf(how.dead))})
		}
	}
	return metarecord.JSON(v)
}

// apply takes the record of a page.
func (n *endings) apply(id pageID, value []byte) error {
	n.clear(id)
	delete(n.stored, id)
	if id == 0 {
		n.forgotten = 0
	}
	if value == nil {
		n.number()
		return nil
	}
	var v endsValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	n.stored[id] = struct{}{}
	if id == 0 {
		n.forgotten = v.Forgotten
	}
	if len(v.Ends) > 0 {
		pg := &page{}
		n.pages[id] = pg
		for _, end := range v.Ends {
			pg.offsets = append(pg.offsets, end[0])
			n.of[end[0]] = ending{count: int32(min(max(end[1], 0), math.MaxInt32)), dead: end[2] != 0, page: int32(id)} // bounded
		}
		n.sort(pg)
	}
	n.number()
	return nil
}

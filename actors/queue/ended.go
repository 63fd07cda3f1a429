package queue

import (
	"math/bits"
	"slices"
)

// chunkBits is how many bits of an offset tell the records of a chunk apart, and
// those of a node's children one level up.
const (
	chunkBits = 6
	chunkSize = 1 << chunkBits
	full      = ^uint64(0)
	topLevel  = 9       // a node of this level stands for 64^10 = 2^60 offsets
	maxOffset = 1 << 61 // no partition gets there
)

// nodeID names a node of the tree: level 0 are the chunks.
type nodeID struct {
	level int
	index int64
}

// of is the node of a level that an offset belongs to.
func nodeOf(level int, offset int64) nodeID {
	return nodeID{level, offset >> (chunkBits * (level + 1))}
}

func (n nodeID) end() int64 { return (n.index + 1) << (chunkBits * (n.level + 1)) }

// node is which children of a node are ended. Of a chunk these are records, and it has those
// that were given as well. A node without either does not exist, nor does one of which all
// is ended: its parent has a bit for it. Bits below the position are 0. All of that keeps
// the tree small: an idle queue has no node at all, however long its log is.
type node struct {
	ended   uint64
	entries []entry // ascending by offset; in chunks only
}

// isEnded reports whether a record is ended. It looks from the chunk upwards. A chunk that
// exists decides; where there is none, a bit higher up may stand for all of it.
func (p *partition) isEnded(offset int64) bool {
	if offset < p.position {
		return true
	}
	for level := 0; level <= topLevel; level++ {
		if n := p.nodes[nodeOf(level, offset)]; n != nil {
			child := offset >> (chunkBits * level) & (chunkSize - 1)
			if n.ended>>child&1 == 1 {
				return true
			}
			if level == 0 {
				return false
			}
		}
	}
	return false
}

// touch returns a node that is about to be changed, and makes it if need be.
func (p *partition) touch(id nodeID) *node {
	n := p.nodes[id]
	if n == nil {
		n = &node{}
		p.nodes[id] = n
		if id.level == 0 {
			p.chunks++
		}
	}
	// Whoever asks for it changes it, so it is written with the next flush.
	p.dirty[id] = struct{}{}
	return n
}

// remove removes a node.
func (p *partition) remove(id nodeID) {
	if p.nodes[id] == nil {
		return
	}
	delete(p.nodes, id)
	p.dirty[id] = struct{}{}
	if id.level == 0 {
		p.chunks--
	}
}

// setEnded ends a record at or above the position; its entry must be gone. Call advance
// afterwards. A node that is full goes, and its parent gets a bit; that may fill the parent
// in turn. The records are written in the other order, parent first: see flush.
func (p *partition) setEnded(offset int64) {
	for level := 0; level <= topLevel; level++ {
		id := nodeOf(level, offset)
		n := p.touch(id)
		n.ended |= 1 << (offset >> (chunkBits * level) & (chunkSize - 1))
		if n.ended != full || level == topLevel {
			return
		}
		p.remove(id)
	}
}

// advance moves the position to the first record that is not ended.
func (p *partition) advance() {
	for p.step() {
	}
}

// step moves the position over the ended children of one node that begin at it.
func (p *partition) step() bool {
	for level := 0; level <= topLevel; level++ {
		id := nodeOf(level, p.position)
		n := p.nodes[id]
		if n == nil {
			continue
		}
		shift := chunkBits * level
		child := p.position >> shift & (chunkSize - 1)
		run := bits.TrailingZeros64(^(n.ended >> child))
		if run == 0 {
			if level == 0 {
				return false // the chunk says that this record is not ended
			}
			continue
		}
		p.moveTo((p.position>>shift + int64(run)) << shift)
		return true
	}
	return false
}

// moveTo moves the position forward, and tidies the nodes that it enters or leaves.
func (p *partition) moveTo(position int64) {
	before := p.position
	// Nodes that it leaves hold only what is below the position. In those that it enters the
	// bits below are cleared, so that the same state has the same form however it came
	// about.
	p.position, p.baseDirty = position, true
	for level := 0; level <= topLevel; level++ {
		was, now := nodeOf(level, before), nodeOf(level, position)
		if was != now {
			p.remove(was)
		}
		if n := p.nodes[now]; n != nil {
			low := uint64(1)<<(position>>(chunkBits*level)&(chunkSize-1)) - 1
			if n.ended&low != 0 {
				p.touch(now).ended &^= low
			}
			p.tidy(now)
		}
	}
}

// tidy removes a node that says nothing.
func (p *partition) tidy(id nodeID) {
	if n := p.nodes[id]; n != nil && n.ended == 0 && len(n.entries) == 0 {
		p.remove(id)
	}
}

// lose moves the position to where a log begins now. It returns how many records were not
// ended, and which of them were given. Entries of those are returned, because workers have
// them and will speak of them.
func (p *partition) lose(earliest int64) (lost int64, given []entry) {
	lost = earliest - p.position
	for id, n := range p.nodes {
		begin := id.index << (chunkBits * (id.level + 1))
		if begin >= earliest {
			continue
		}
		for child := range int64(chunkSize) {
			width := int64(1) << (chunkBits * id.level)
			if n.ended>>child&1 == 1 {
				lost -= max(0, min(earliest, begin+(child+1)*width)-max(p.position, begin+child*width))
			}
		}
		kept := n.entries[:0:0]
		for _, e := range n.entries {
			if e.offset < earliest {
				given = append(given, e)
			} else {
				kept = append(kept, e)
			}
		}
		if id.end() <= earliest {
			p.remove(id)
		} else if len(kept) != len(n.entries) {
			p.touch(id).entries = kept
		}
	}
	p.moveTo(earliest)
	p.advance()
	return lost, given
}

// normalize puts nodes right that were replayed from a flush of which only the beginning was
// committed: what a position or a node above them says counts. Such a flush may have moved
// the position, or set a parent's bit, and not dropped the nodes below, which now say less
// than is known.
func (p *partition) normalize() {
	for id := range p.stored {
		if p.nodes[id] == nil {
			p.dirty[id] = struct{}{}
		}
	}
	for id, n := range p.nodes {
		begin := id.index << (chunkBits * (id.level + 1))
		if p.covered(id) {
			p.remove(id)
			continue
		}
		if begin >= p.position {
			continue
		}
		low := uint64(1)<<((p.position-begin)>>(chunkBits*id.level)) - 1
		entries := slices.DeleteFunc(slices.Clone(n.entries), func(e entry) bool { return e.offset < p.position })
		if n.ended&low != 0 || len(entries) != len(n.entries) {
			n = p.touch(id)
			n.ended &^= low
			n.entries = entries
			p.tidy(id)
		}
	}
	p.advance()
}

// covered reports whether all of a node is ended as the position or a node above it
// has it.
func (p *partition) covered(id nodeID) bool {
	if id.end() <= p.position {
		return true
	}
	begin := id.index << (chunkBits * (id.level + 1))
	for level := id.level + 1; level <= topLevel; level++ {
		if n := p.nodes[nodeOf(level, begin)]; n != nil && n.ended>>(begin>>(chunkBits*level)&(chunkSize-1))&1 == 1 {
			return true
		}
	}
	return false
}

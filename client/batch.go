package client

import "time"

// batch is the content of one request: lines of NDJSON, and the callback of each.
type batch struct {
	body  []byte
	lines []line
	acks  bool      // there is a callback, which needs the offset
	since time.Time // of the first record
	cost  int64     // of the budget
}

// line is one record of a batch.
type line struct {
	end  int // in body
	done func(Ack, error)
}

// lineOverhead is about how many bytes a record takes besides its text.
const lineOverhead = 32

// lineCost is how much of the budget a record of that size takes.
func lineCost(bytes int) int64 { return int64(bytes) + lineOverhead }

func (b *batch) add(text []byte, done func(Ack, error), now time.Time) {
	if len(b.lines) == 0 {
		b.since = now
	}
	b.body = append(b.body, text...)
	b.lines = append(b.lines, line{len(b.body), done})
	b.acks = b.acks || done != nil
	b.cost += lineCost(len(text))
}

// cut removes line i and returns its callback.
func (b *batch) cut(i int) func(Ack, error) {
	start, end := 0, b.lines[i].end
	if i > 0 {
		start = b.lines[i-1].end
	}
	done := b.lines[i].done
	b.body = append(b.body[:start], b.body[end:]...)
	b.lines = append(b.lines[:i], b.lines[i+1:]...)
	for j := i; j < len(b.lines); j++ {
		b.lines[j].end -= end - start
	}
	return done
}

// reset empties b for its next use and drops its references.
func (b *batch) reset() {
	clear(b.lines)
	*b = batch{body: b.body[:0], lines: b.lines[:0]}
}

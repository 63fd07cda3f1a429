package cli

import (
	"context"
	"sync"

	"ottla/client"
	"ottla/protocol"
)

// maxProduceLanes is how many batches of a file are in flight at the same time.
const maxProduceLanes = 4

// placement spreads the lines of a file over lanes, so that several batches are in
// flight: each partition belongs to one lane, which keeps its order. Where a record goes
// is decided here, as the server would.
type placement struct {
	partitions int // 0: the server places, and there is one lane
	lanes      int
	careful    int // bytes of a line that goes alone, see careful
}

// placeFile looks how a file can be spread. Where the topic is not there yet, or may not
// be looked at, there is one lane.
func placeFile(ctx context.Context, a *api, o *produceOptions) placement {
	none := placement{lanes: 1}
	if o.partition >= 0 {
		return none
	}
	info, err := a.Topic(ctx, o.cluster, o.topic)
	if err != nil || len(info.Partitions) < 2 {
		return none
	}
	return placement{
		partitions: len(info.Partitions), lanes: min(len(info.Partitions), maxProduceLanes),
		careful: min(carefulBytes, info.MaxRecordBytes/2),
	}
}

// place gives a record its partition, and returns the lane that it goes by.
func (p placement) place(r *client.Record, line int) (lane int) {
	if p.partitions == 0 {
		return 0
	}
	at := line % p.partitions
	if !r.Key.IsNull() {
		at = protocol.PartitionForKey(keyToken(r.Key), p.partitions)
	}
	r.Partition = &at
	return at % p.lanes
}

// keyToken is a key as it stands in the log: by it records are placed.
func keyToken(key client.Data) []byte {
	text := key.Bytes()
	switch key.Kind() {
	case client.JSON:
		r := protocol.NewJSONReader(text)
		if v, ok := r.Value(); ok {
			var compact []byte
			return v.Compact(&compact)
		}
	case client.Text:
		return protocol.AppendTextToken(nil, text)
	}
	return protocol.AppendRawToken(nil, text)
}

// Lines beyond these bounds go alone: the server may refuse them, and nothing behind a
// line that is refused is to be written. What is within them no server refuses that has
// sensible limits.
const (
	carefulBytes   = 64 << 10
	carefulDepth   = 32
	carefulDigits  = 100
	carefulHeaders = 16
)

// risky reports whether a server might refuse a line.
func (p placement) risky(text []byte, r *client.Record) bool {
	if p.lanes == 1 {
		return false
	}
	if len(text) > p.careful || len(r.Headers) > carefulHeaders {
		return true
	}
	for _, d := range [...]client.Data{r.Key, r.Value} {
		if d.Kind() != client.JSON {
			continue
		}
		reader := protocol.NewJSONReader(d.Bytes())
		if v, ok := reader.Value(); !ok || v.Depth > carefulDepth || v.Digits > carefulDigits || v.HalfSurrogate() {
			return true
		}
	}
	return false
}

// tally knows which lines are committed. Lanes report theirs in order, but not to each
// other, so some lines may be committed behind one that is not.
type tally struct {
	mu        sync.Mutex
	upTo      int    // all lines up to this one are committed, or were skipped
	behind    []bool // of the lines behind it
	ahead     int    // how many of behind are true
	committed int

	failure error // the first
	lane    int   // that it is of
	lines   []int // of that lane, from the first on that was not written
}

// commit notes a line that is committed.
func (t *tally) commit(line int) (committed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committed++
	at := line - t.upTo - 1
	for len(t.behind) <= at {
		t.behind = append(t.behind, false)
	}
	t.behind[at] = true
	t.ahead++
	n := 0
	for n < len(t.behind) && t.behind[n] {
		n++
	}
	t.upTo += n
	t.ahead -= n
	t.behind = t.behind[n:]
	return t.committed
}

// fail notes a line that is not written. It reports whether it is the first.
func (t *tally) fail(line, lane int, err error) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first = t.failure == nil
	if first {
		t.failure, t.lane = err, lane
	}
	if lane == t.lane {
		t.lines = append(t.lines, line)
	}
	return first
}

func (t *tally) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failure != nil
}

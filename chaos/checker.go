package main

import (
	"cmp"
	"fmt"
	"slices"
)

// place is where a record stands.
type place struct {
	partition int
	offset    int64
}

// outcome of a produce call, as its client knows it in the end.
type outcome int

const (
	unknown outcome = iota // no answer, or one that says so
	acked
	refused // an error with outcome none
)

// produced is one record that a client tried to produce, retries included.
type produced struct {
	value   string // unique
	outcome outcome
	at      place // when acked
}

// record is one of the final log.
type record struct {
	at    place
	value string
}

// committed is an acknowledged commit or an answered read of a group's offset
// on one partition. Calls of one client on one partition follow each other.
type committed struct {
	client    string
	partition int
	offset    int64
	read      bool
}

// delivery is one poll's records of one partition.
type delivery struct {
	client    string
	partition int
	offsets   []int64
	seek      bool // a failed poll came before: the position may step back to the committed offset
	reset     bool // instead of offsets: the same, noted for a partition that a response had nothing of
}

// history is everything that was seen.
type history struct {
	produced   []produced
	committed  []committed
	deliveries []delivery
}

// violation is a broken promise.
type violation struct {
	kind string // lost, moved, phantom, duplicate, regression, skipped, ...
	text string
}

func (v violation) String() string { return v.kind + ": " + v.text }

// check holds a history against the final log, of which finals has one copy
// per broker; the first is the one that the API gives.
func check(h *history, finals [][]record) []violation {
	var out []violation
	log := finals[0]
	at := map[string][]place{}
	values := map[place]string{}
	last := map[int]int64{}
	for _, r := range log {
		at[r.value] = append(at[r.value], r.at)
		values[r.at] = r.value
		last[r.at.partition] = max(last[r.at.partition], r.at.offset)
	}
	for _, p := range h.produced {
		out = append(out, checkProduced(p, at[p.value], last)...)
	}
	out = append(out, checkDense(log)...)
	out = append(out, checkCommitted(h.committed)...)
	out = append(out, checkDeliveries(h.deliveries)...)
	for b, copyOfLog := range finals[1:] {
		out = append(out, checkCopy(b+1, log, copyOfLog)...)
	}
	return out
}

func checkProduced(p produced, at []place, last map[int]int64) []violation {
	var out []violation
	switch {
	case p.outcome == acked && len(at) == 0:
		part := "middle"
		if p.at.offset > last[p.at.partition] {
			part = "tail"
		} else if p.at.offset == 0 {
			part = "prefix"
		}
		out = append(out, violation{"lost", fmt.Sprintf("%s, acknowledged at %d/%d (%s)", p.value, p.at.partition, p.at.offset, part)})
	case p.outcome == acked && !slices.Contains(at, p.at):
		out = append(out, violation{"moved", fmt.Sprintf("%s, acknowledged at %v, is at %v", p.value, p.at, at)})
	case p.outcome == refused && len(at) > 0:
		out = append(out, violation{"phantom", fmt.Sprintf("%s was refused with outcome none and is at %v", p.value, at)})
	}
	if len(at) > 1 {
		out = append(out, violation{"duplicate", fmt.Sprintf("%s is at %v", p.value, at)})
	}
	return out
}

// checkDense demands that offsets of a partition are 0, 1, 2, ...
func checkDense(log []record) []violation {
	next := map[int]int64{}
	sorted := slices.Clone(log)
	slices.SortStableFunc(sorted, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.at.partition, b.at.partition), cmp.Compare(a.at.offset, b.at.offset))
	})
	for _, r := range sorted {
		if r.at.offset != next[r.at.partition] {
			return []violation{{"gap", fmt.Sprintf("partition %d has offset %d where %d is due", r.at.partition, r.at.offset, next[r.at.partition])}}
		}
		next[r.at.partition]++
	}
	return nil
}

// checkCommitted treats a committed offset as a register that only grows: a
// read returns at least the latest acknowledged commit of the same client.
func checkCommitted(calls []committed) []violation {
	var out []violation
	latest := map[string]int64{}
	for _, c := range calls {
		key := fmt.Sprintf("%s/%d", c.client, c.partition)
		if c.offset < latest[key] {
			what := "commit"
			if c.read {
				what = "read"
			}
			out = append(out, violation{"regression", fmt.Sprintf("%s of %s gave %d after %d", what, key, c.offset, latest[key])})
		}
		latest[key] = max(latest[key], c.offset)
	}
	return out
}

// checkDeliveries demands that a client sees a partition's offsets without
// gaps: the next one, or, after a rebalance or a restart, an earlier one.
func checkDeliveries(polls []delivery) []violation {
	var out []violation
	next, again := map[string]int64{}, map[string]bool{}
	for _, d := range polls {
		key := fmt.Sprintf("%s/%d", d.client, d.partition)
		again[key] = again[key] || d.reset || d.seek
		for i, off := range d.offsets {
			want, known := next[key]
			if known && off != want && (i > 0 || off > want || !again[key]) {
				out = append(out, violation{"skipped", fmt.Sprintf("%s got offset %d where %d was due", key, off, want)})
			}
			next[key] = off + 1
			again[key] = false
		}
	}
	return out
}

// checkCopy compares a broker's copy with the log.
func checkCopy(broker int, log, copyOfLog []record) []violation {
	if len(log) != len(copyOfLog) {
		return []violation{{"diverged", fmt.Sprintf("broker %d has %d records, the log %d", broker, len(copyOfLog), len(log))}}
	}
	for i := range log {
		if log[i] != copyOfLog[i] {
			return []violation{{"diverged", fmt.Sprintf("broker %d has %v, the log %v", broker, copyOfLog[i], log[i])}}
		}
	}
	return nil
}

package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// place is the position of a record in its topic.
type place struct {
	partition int
	offset    int64
}

// outcome is what the client of a produce call knows of it in the end.
type outcome int

const (
	unknown outcome = iota // no answer, or the answer said outcome unknown
	acked
	refused // the answer was an error with outcome none
)

// produced is one record that a client tried to produce, retries included.
type produced struct {
	topic        string
	value        string // unique
	key          string
	outcome      outcome
	at           place // when acked
	began, ended time.Duration
}

// record is a record of the final log.
type record struct {
	at    place
	value string
}

// delivery is one poll's records of one partition.
type delivery struct {
	group      string
	member     int
	generation int64
	partition  int
	offsets    []int64 // empty: the delivery only says that the member may have moved
	moved      bool    // after a failed poll or a new generation: the member's position may be another one
}

// never is later than any time of a campaign.
const never = time.Duration(math.MaxInt64)

// lifetime says when a topic was last deleted (the request was sent) and created
// again (the answer came).
type lifetime struct{ deleted, created time.Duration }

// history is everything that the clients did and saw.
type history struct {
	produced   []produced
	deliveries []delivery
	churned    map[string]lifetime // topics that were deleted and created again
	violations []violation         // those that clients noticed themselves
}

// violation is a broken promise.
type violation struct {
	Kind string `json:"kind"` // lost, moved, phantom, duplicate, skipped, ...
	Text string `json:"text"`
}

func (v violation) String() string { return v.Kind + ": " + v.Text }

// finalLog is what a topic holds in the end.
type finalLog struct {
	topic     string
	compacted bool             // older records of a key may be gone
	start     map[int]int64    // log start by partition
	records   []record         // read through the API
	copies    map[int][]record // by broker, read from the files
}

// checkLog compares the history of a topic's records with its final log.
func checkLog(h *history, f *finalLog) []violation {
	var out []violation
	at := map[string][]place{}
	last := map[int]int64{}
	for _, r := range f.records {
		at[r.value] = append(at[r.value], r.at)
		last[r.at.partition] = max(last[r.at.partition], r.at.offset)
	}
	life, churned := h.churned[f.topic]
	newest := newestOfKeys(h, f)
	for _, p := range h.produced {
		switch {
		case p.topic != f.topic:
		case f.compacted && p.outcome == acked && len(at[p.value]) == 0 && newest[p.key] > p.at.offset:
		case !churned || p.began > life.created:
			out = append(out, checkProduced(p, at[p.value], f.start, last)...)
		case p.outcome == acked && p.ended < life.deleted && len(at[p.value]) > 0:
			out = append(out, violation{"ghost", fmt.Sprintf("%s is at %v of %s, which was deleted since", p.value, at[p.value], f.topic)})
		}
	}
	for value, places := range at {
		if len(places) > 1 {
			out = append(out, violation{"duplicate", fmt.Sprintf("%s is at %v of %s", value, places, f.topic)})
		}
	}
	out = append(out, checkDense(f)...)
	for _, b := range slices.Sorted(maps.Keys(f.copies)) {
		out = append(out, checkCopy(f, b)...)
	}
	return out
}

// newestOfKeys returns the offset of each key's newest record in a compacted
// log. A key is always in the same partition.
func newestOfKeys(h *history, f *finalLog) map[string]int64 {
	if !f.compacted {
		return nil
	}
	keys := map[string]string{}
	for _, p := range h.produced {
		if p.topic == f.topic {
			keys[p.value] = p.key
		}
	}
	newest := map[string]int64{}
	for _, r := range f.records {
		newest[keys[r.value]] = max(newest[keys[r.value]], r.at.offset)
	}
	return newest
}

func checkProduced(p produced, at []place, start, last map[int]int64) []violation {
	switch {
	case p.outcome == acked && p.at.offset < start[p.at.partition]: // retention
	case p.outcome == acked && len(at) == 0:
		part := "middle"
		if p.at.offset > last[p.at.partition] {
			part = "tail"
		} else if p.at.offset == start[p.at.partition] {
			part = "prefix"
		}
		return []violation{{"lost", fmt.Sprintf("%s of %s, acknowledged at %v (%s) at %s", p.value, p.topic, p.at, part, p.ended)}}
	case p.outcome == acked && !slices.Contains(at, p.at):
		return []violation{{"moved", fmt.Sprintf("%s of %s, acknowledged at %v, is at %v", p.value, p.topic, p.at, at)}}
	case p.outcome == refused && len(at) > 0:
		return []violation{{"phantom", fmt.Sprintf("%s of %s was refused with outcome none and is at %v", p.value, p.topic, at)}}
	}
	return nil
}

// checkDense checks that the offsets of a partition have no gaps from the log start
// on, or, in a compacted log, that they ascend.
func checkDense(f *finalLog) []violation {
	next := maps.Clone(f.start)
	if next == nil {
		next = map[int]int64{}
	}
	for _, r := range f.records {
		if f.compacted && r.at.offset > next[r.at.partition] {
			next[r.at.partition] = r.at.offset
		}
		if r.at.offset != next[r.at.partition] {
			return []violation{{"gap", fmt.Sprintf("%s-%d has offset %d instead of %d", f.topic, r.at.partition, r.at.offset, next[r.at.partition])}}
		}
		next[r.at.partition]++
	}
	return nil
}

// checkCopy compares a broker's files with the log. They may still hold records
// below the log start. Of a topic with retention they may have lost the oldest: copies
// that have moved are divided into other segments, and the log start moves along with
// whichever leads, also after the log was read.
func checkCopy(f *finalLog, broker int) []violation {
	kept := slices.DeleteFunc(slices.Clone(f.copies[broker]), func(r record) bool { return r.at.offset < f.start[r.at.partition] })
	records := f.records
	if f.topic == shortTopic {
		begins := map[int]int64{}
		for _, r := range kept {
			if _, known := begins[r.at.partition]; !known {
				begins[r.at.partition] = r.at.offset
			}
		}
		records = slices.DeleteFunc(slices.Clone(records), func(r record) bool { b, has := begins[r.at.partition]; return has && r.at.offset < b })
	}
	for i, r := range records {
		if i == len(kept) {
			return []violation{{"diverged", fmt.Sprintf("broker %d has %d records of %s, the log %d", broker, len(kept), f.topic, len(records))}}
		}
		if kept[i] != r {
			return []violation{{"diverged", fmt.Sprintf("broker %d has %.200q of %s at %v, the log %.200q", broker, kept[i].value, f.topic, kept[i].at, r.value)}}
		}
	}
	if len(kept) > len(records) {
		return []violation{{"diverged", fmt.Sprintf("broker %d has %d records of %s, the log %d", broker, len(kept), f.topic, len(records))}}
	}
	return nil
}

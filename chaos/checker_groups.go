package main

import (
	"fmt"
	"slices"
)

// checkGroups checks what groups were given. ends are the end offsets of the
// partitions of their topic.
func checkGroups(deliveries []delivery, groups []*group, ends map[int]int64) []violation {
	byGroup := map[string][]delivery{}
	for _, d := range deliveries {
		byGroup[d.group] = append(byGroup[d.group], d)
	}
	var out []violation
	for _, g := range groups {
		mine := byGroup[g.name]
		out = append(out, checkOwners(mine)...)
		switch {
		case g.mode == byAuto:
			out = append(out, checkOnce(mine)...)
		case g.topic == mainTopic: // the topic that keeps everything
			out = append(out, checkPositions(mine)...)
			out = append(out, checkComplete(mine, g.name, ends)...)
		}
	}
	return out
}

// checkOwners checks that a partition has one owner in each generation.
func checkOwners(list []delivery) []violation {
	type key struct {
		generation int64
		partition  int
	}
	owner := map[key]int{}
	for _, d := range list {
		if len(d.offsets) == 0 {
			continue
		}
		k := key{d.generation, d.partition}
		if had, ok := owner[k]; ok && had != d.member {
			return []violation{{"two owners", fmt.Sprintf("members %d and %d of %s both got records of partition %d in generation %d", had, d.member, d.group, d.partition, d.generation)}}
		}
		owner[k] = d.member
	}
	return nil
}

// checkPositions checks that a member is given a partition's offsets without gaps,
// except where its position may have moved.
func checkPositions(list []delivery) []violation {
	type key struct{ member, partition int }
	next, moved := map[key]int64{}, map[key]bool{}
	var out []violation
	for _, d := range list {
		k := key{d.member, d.partition}
		moved[k] = moved[k] || d.moved
		for i, off := range d.offsets {
			if want, known := next[k]; known && off != want && (i > 0 || !moved[k]) {
				out = append(out, violation{"skipped", fmt.Sprintf("member %d of %s got offset %d of partition %d instead of %d", d.member, d.group, off, d.partition, want)})
			}
			next[k] = off + 1
			moved[k] = false
		}
	}
	return out
}

// checkComplete checks that a group was given every record: it has consumed up to
// the end, and members commit an offset only after it was delivered.
func checkComplete(list []delivery, group string, ends map[int]int64) []violation {
	got := map[int]map[int64]bool{}
	for _, d := range list {
		if got[d.partition] == nil {
			got[d.partition] = map[int64]bool{}
		}
		for _, off := range d.offsets {
			got[d.partition][off] = true
		}
	}
	var out []violation
	for p, end := range ends {
		var missing []int64
		for off := range end {
			if !got[p][off] {
				missing = append(missing, off)
			}
		}
		if len(missing) > 0 {
			out = append(out, violation{"skipped", fmt.Sprintf("no member of %s was ever given %d offsets of partition %d, the first is %d, the last %d of %d", group, len(missing), p, missing[0], slices.Max(missing), end)})
		}
	}
	return out
}

// checkOnce checks that a group that commits automatically is given nothing twice.
func checkOnce(list []delivery) []violation {
	got := map[place]int{}
	for _, d := range list {
		for _, off := range d.offsets {
			at := place{d.partition, off}
			if had, ok := got[at]; ok {
				return []violation{{"twice", fmt.Sprintf("members %d and %d of %s both got %v, though offsets are committed before records are returned", had, d.member, d.group, at)}}
			}
			got[at] = d.member
		}
	}
	return nil
}

package protocol

import (
	"strconv"
	"strings"
)

// A request that has an id is known to partitions by that id alone. When a topic gets
// more partitions, its retry would be placed on others, which do not know it. So a topic
// remembers which numbers of partitions it has had, and ids of requests that were placed
// by a later number than the first end with it: what a partition knows of an id says by
// which number its records were placed.

// PlacementWindowMs is for how long after a change of the number of partitions a request
// may be the retry of one that was placed before, in milliseconds. It is more than the
// partitions remember.
const PlacementWindowMs = 20 * 60 * 1000

// placementMark stands between an id and a number of partitions. No id of a client has
// it: they are ASCII.
const placementMark = "·"

// Placement is a number of partitions that a topic has, or has had.
type Placement struct {
	Partitions int
	Until      int64 // when there were more, in milliseconds since 1970; 0: they are what there is
	First      bool  // the topic began with them
}

// ID is what partitions know a request by that has this id and is placed so.
func (p Placement) ID(id string) string {
	if p.First {
		return id
	}
	return id + placementMark + strconv.Itoa(p.Partitions)
}

// PlacedBy is the number of partitions that an id ends with, 0 where it is the topic's
// first.
func PlacedBy(id string) int {
	if i := strings.LastIndex(id, placementMark); i >= 0 {
		n, _ := strconv.Atoi(id[i+len(placementMark):])
		return n
	}
	return 0
}

// ClientID is the id that a client has sent, of one from Placement.ID.
func ClientID(id string) string {
	if i := strings.LastIndex(id, placementMark); i >= 0 {
		return id[:i]
	}
	return id
}

// Placement is how new requests are placed.
func (t *Topic) Placement() Placement {
	return Placement{Partitions: t.Partitions, First: len(t.Earlier) == 0}
}

// MayBeRetry reports whether a request that comes at that time, in milliseconds since
// 1970, may have been placed by an earlier number of partitions.
func (t *Topic) MayBeRetry(now int64) bool {
	n := len(t.Earlier)
	return n > 0 && now < t.Earlier[n-1].Until+PlacementWindowMs
}

// PlaceQuestion asks by which number of partitions a request has been placed before.
type PlaceQuestion struct {
	ID       string // as the client has sent it
	Epoch    int64
	Sequence int64
	BodyHash uint64
	// Partitions lists those that have records of it where there are so many, none if it
	// cannot be placed so.
	Partitions func(of int) []int
}

// Knowledge is what a partition knows of a request.
type Knowledge int

// What there is to know.
const (
	KnownNot   Knowledge = iota
	KnownOther           // of its id something that refuses it, such as a later sequence
	KnownSame            // the request itself
)

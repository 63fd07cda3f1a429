package catalog

import (
	"fmt"
	"maps"
	"slices"

	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// levelValue is the level of a fleet.
type levelValue struct {
	V     int `json:"v"`
	Level int `json:"level"`
}

// Level is that of the fleet.
func (s *fleetState) Level() int { return max(level.Oldest, s.level) }

// Offer is up to which level a node's program can work, as it has said itself.
type Offer struct {
	Newest  int    // 0: it is not heard of, so nobody knows
	Version string // of the program
	Holds   bool   // the level is not to be raised by itself
}

// Offers is what the nodes of a fleet at a level offer together: the greatest level that
// all of them can work at, and why it is not more, "" if it is the greatest of this program.
func Offers(nodes map[uint64]*FleetNode, at int, of func(node uint64) Offer) (newest int, waits string) {
	newest = level.Newest
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		if nodes[id].Gone {
			continue
		}
		switch o := of(id); {
		// One that is away counts: started again with an older program it could not read what
		// the others have written at a greater level.
		case o.Newest == 0:
			return at, fmt.Sprintf("node %d (%s) is not heard of, so nobody knows which version it will be started with", id, nodes[id].Name)
		case o.Newest < newest:
			newest = o.Newest
			waits = fmt.Sprintf("node %d (%s) runs version %s, which goes up to level %d", id, nodes[id].Name, o.Version, o.Newest)
		}
	}
	return newest, waits
}

// DecideRaise raises the level to the greatest that all nodes offer. Where nobody has
// asked for that, a node that holds the level keeps it. No records where it is there.
// Errors: not_allowed where nodes do not offer more, with the reason.
func (s *fleetState) DecideRaise(of func(node uint64) Offer, asked bool) ([]metarecord.Record, *protocol.Error) {
	newest, waits := Offers(s.nodes, s.Level(), of)
	for id, n := range s.nodes {
		if !asked && !n.Gone && of(id).Holds {
			return nil, nil
		}
	}
	switch {
	case newest > s.Level():
		return []metarecord.Record{{
			Action: actionRaiseLevel, Key: metarecord.Key(keyLevel), Value: metarecord.JSON(levelValue{metarecord.Format, newest}),
		}}, nil
	case asked && waits != "":
		return nil, protocol.Errorf(protocol.CodeNotAllowed, "the level stays %d: %s", s.Level(), waits)
	}
	return nil, nil
}

func (s *fleetState) applyLevel(value []byte) error {
	var v levelValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	if v.Level > level.Newest {
		return fmt.Errorf("the fleet is at level %d, this program knows levels %d to %d", v.Level, level.Oldest, level.Newest)
	}
	// It never falls: there may be records that programs of a lower level cannot read.
	s.level = max(s.level, v.Level)
	return nil
}

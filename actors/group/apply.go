package group

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ottla/actors/metarecord"
	"ottla/actors/queue"
	"ottla/protocol"
)

// Kinds of keys in __consumer_offsets, with the form of the key.
const (
	keyGroup  = "g" // ["g","<group>"]
	keyOffset = "o" // ["o","<group>","<topic id>",0]
)

// actionKinds says which kind of key an action has. An action that is not
// listed was written by a newer build, and is refused.
var actionKinds = map[string]string{
	actionCommit:       keyOffset,
	actionDropOffset:   keyOffset,
	actionJoin:         keyGroup,
	actionResubscribe:  keyGroup,
	actionUpdateMember: keyGroup,
	actionLeave:        keyGroup,
	actionExpire:       keyGroup,
	actionSeek:         keyGroup,
	actionTopicDeleted: keyGroup,
	actionDeleteGroup:  keyGroup,
	actionExpireGroup:  keyGroup,
}

// The values of __consumer_offsets, each with its format.
type (
	membershipValue struct {
		V int `json:"v"`
		membership
	}
	offsetValue struct {
		V int `json:"v"`
		committedOffset
	}
)

// NameOfKey returns the name of the group that a record of __consumer_offsets is
// about, from the record's key, whose memory it may share. Errors: the key is of no kind
// that this build knows.
func NameOfKey(key []byte) ([]byte, error) {
	if group, _, _, ok := plainOffsetKey(key); ok {
		return group, nil
	}
	kind, args, err := metarecord.SplitKey(key)
	switch {
	case err != nil:
		return nil, err
	case kind == keyGroup && len(args) == 1, kind == keyOffset && len(args) == 3:
		return []byte(args[0]), nil
	}
	if group, ok := queue.GroupOfKey(kind, args); ok {
		return []byte(group), nil
	}
	return nil, fmt.Errorf("%s: key %s is of no known kind", protocol.OffsetsTopic, key)
}

// Apply changes the durable state by one record, and is the only method that
// does. It fails on a record that this build does not understand or that is about
// another group, and changes nothing then. The first lease of a new member begins
// at the time of the record.
func (g *State) Apply(rec metarecord.Record) error {
	if err := g.applyRecord(rec); err != nil {
		return fmt.Errorf("apply %s %s of %s: %w", rec.Action, rec.Key, protocol.OffsetsTopic, err)
	}
	return nil
}

func (g *State) applyRecord(rec metarecord.Record) error {
	if group, topicID, n, ok := plainOffsetKey(rec.Key); ok && rec.Action == actionCommit && string(group) == g.name {
		return g.applyOffset(string(topicID), string(n), rec.Value)
	}
	kind, args, err := metarecord.SplitKey(rec.Key)
	if err != nil {
		return err
	}
	want, known := actionKinds[rec.Action]
	switch {
	case !known:
		return errors.New("unknown action")
	case kind != want:
		return fmt.Errorf("a key of kind %q does not go with this action", kind)
	case len(args) == 0 || args[0] != g.name:
		return fmt.Errorf("the record is not about group %q", g.name)
	case kind == keyGroup && len(args) == 1:
		return g.applyMembership(rec)
	case kind == keyOffset && len(args) == 3:
		return g.applyOffset(args[1], args[2], rec.Value)
	}
	return errors.New("the key has the wrong number of elements")
}

func (g *State) applyOffset(topicID, number string, value []byte) error {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return fmt.Errorf("partition %q is not a number", number)
	}
	key := protocol.PartitionID{TopicID: topicID, Partition: n}
	if value == nil {
		g.offsets.Remove(key)
		return nil
	}
	if plain, ok := plainOffset(value); ok {
		g.offsets.Set(key, plain.committed(g.offsets.At(key)))
		return nil
	}
	var v offsetValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	g.offsets.Set(key, v.committedOffset)
	return nil
}

func (g *State) applyMembership(rec metarecord.Record) error {
	var v membershipValue
	if rec.Value != nil {
		if err := metarecord.Decode(rec.Value, &v); err != nil {
			return err
		}
	}
	if err := v.check(); err != nil {
		return err
	}
	before := g.now
	g.now = v.clone() // without the spare capacity that decoding leaves
	g.noteOwners(before, rec.Action == actionSeek)
	if rec.Action == actionSeek { // nobody may go on, or commit, from where it was
		g.positions.Clear()
	}
	for i := range g.now.Members {
		if gm := &g.now.Members[i]; before.member(gm.ID) == nil {
			g.leases.Set(gm.ID, g.now.ChangedAt+gm.SessionMs)
		}
	}
	for i := range before.Members {
		if id := before.Members[i].ID; !g.IsMember(id) {
			g.leases.Remove(id)
			g.told.Remove(id)
			g.positions.Remove(id)
		}
	}
	return nil
}

// noteOwners notes since which generation each partition has had its owner. With
// restart that is the present generation for all of them.
func (g *State) noteOwners(before *membership, restart bool) {
	for i := range before.Topics {
		t := &before.Topics[i]
		for p := range t.Owners {
			if key := (protocol.PartitionID{TopicID: t.ID, Partition: p}); g.now.owner(key) == 0 {
				g.since.Remove(key)
			}
		}
	}
	for i := range g.now.Topics {
		t := &g.now.Topics[i]
		had := before.topic(t.ID)
		for p, owner := range t.Owners {
			kept := had != nil && p < len(had.Owners) && had.Owners[p] == owner
			if owner != 0 && (!kept || restart) {
				g.since.Set(protocol.PartitionID{TopicID: t.ID, Partition: p}, g.now.Generation)
			}
		}
	}
}

// check refuses a membership that no decision can have made: the other methods
// rely on the order, and on owners being members.
func (m *membership) check() error {
	ascending := slices.IsSortedFunc(m.Members, func(a, b Member) int { return int(min(1, max(-1, a.ID-b.ID))) })
	if !ascending {
		return errors.New("members are not in order")
	}
	if !slices.IsSortedFunc(m.Topics, func(a, b Topic) int { return strings.Compare(a.ID, b.ID) }) {
		return errors.New("topics are not in order")
	}
	for i := range m.Topics {
		for p, owner := range m.Topics[i].Owners {
			if owner != 0 && m.member(owner) == nil {
				return fmt.Errorf("partition %d of topic %s belongs to %d, who is no member", p, m.Topics[i].ID, owner)
			}
		}
	}
	return nil
}

// memberRecords is the record that makes next the membership.
func (g *State) memberRecords(now int64, action string, next *membership) []metarecord.Record {
	m := *next
	m.ChangedAt = now
	if m.CreatedAt == 0 {
		m.CreatedAt = now
	}
	return []metarecord.Record{{Action: action, Key: metarecord.Key(keyGroup, g.name), Value: metarecord.JSON(membershipValue{metarecord.Format, m})}}
}

// date is what a commit is dated by, in milliseconds since 1970: others will judge by it
// whether the group is used, after the clock that leases stand on has ended with its process.
func (g *State) date(now int64) int64 {
	if g.Wall != nil {
		return g.Wall()
	}
	return now
}

func (g *State) commitRecord(now int64, o PartitionOffset, poll uint64) metarecord.Record {
	v := committedOffset{Offset: o.Offset, Metadata: o.Metadata, Topic: o.Topic, At: g.date(now), Poll: poll}
	return metarecord.Record{Action: actionCommit, Key: offsetKeyOf(g.name, o.Key()), Value: appendOffsetValue(nil, &v)}
}

func (g *State) dropRecord(key protocol.PartitionID) metarecord.Record {
	return metarecord.Record{Action: actionDropOffset, Key: offsetKeyOf(g.name, key)}
}

// Dump writes the durable state as text: two groups have equal dumps exactly if
// their durable states are equal.
func (g *State) Dump() string {
	var b strings.Builder
	fmt.Fprintf(&b, "group %s %s\n", g.name, metarecord.JSON(g.now))
	for _, key := range slices.SortedFunc(g.offsets.Keys(), protocol.ComparePartitionIDs) {
		fmt.Fprintf(&b, "offset %s %d %s\n", key.TopicID, key.Partition, metarecord.JSON(g.offsets.At(key)))
	}
	return b.String()
}

// equal reports whether the durable states of both are the same.
func (g *State) equal(o *State) bool { return g.Dump() == o.Dump() }

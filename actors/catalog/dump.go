package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Dump writes the whole state as text, one thing a line: two states have equal
// dumps exactly if they are equal.
func (s *State) Dump() string {
	var b strings.Builder
	if s.settings != nil {
		fmt.Fprintf(&b, "cluster %s\n", metarecord.JSON(s.settings))
	}
	for _, id := range s.brokerIDs() {
		fmt.Fprintf(&b, "broker %s\n", metarecord.JSON(s.brokers[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.topics)) {
		fmt.Fprintf(&b, "topic %s %s\n", id, metarecord.JSON(s.topics[id]))
	}
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		fmt.Fprintf(&b, "name %s %s\n", name, s.names[name])
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.partitions), protocol.ComparePartitionIDs) {
		fmt.Fprintf(&b, "partition %s %d %s\n", key.TopicID, key.Partition, metarecord.JSON(s.partitions[key]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.deleted)) {
		fmt.Fprintf(&b, "deleted %s %s\n", id, metarecord.JSON(s.deleted[id]))
	}
	for _, t := range s.tokens {
		fmt.Fprintf(&b, "token %s %s\n", t.Name, metarecord.JSON(tokenValueOf(t)))
	}
	for _, src := range s.sources {
		fmt.Fprintf(&b, "source %s\n", sourceRecord("", src).Value)
	}
	for _, sub := range s.subscriptions {
		fmt.Fprintf(&b, "subscription %s\n", subscriptionRecord("", sub).Value)
	}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		fmt.Fprintf(&b, "node %s\n", metarecord.JSON(s.nodes[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.placed)) {
		fmt.Fprintf(&b, "placed %s\n", metarecord.JSON(s.placed[id]))
	}
	for _, id := range slices.Sorted(maps.Keys(s.tasks)) {
		fmt.Fprintf(&b, "task %s\n", metarecord.JSON(s.tasks[id]))
	}
	if s.resize != nil {
		fmt.Fprintf(&b, "resize %s\n", metarecord.JSON(s.resize))
	}
	if s.sealKey != nil {
		fmt.Fprintf(&b, "seal %x\n", s.sealKey)
	}
	if s.level > 0 {
		fmt.Fprintf(&b, "level %d\n", s.level)
	}
	if s.hadPlaced {
		b.WriteString("had clusters\n")
	}
	fmt.Fprintf(&b, "next consumer id %d\n", s.consumerID)
	return b.String()
}

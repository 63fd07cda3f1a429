package protocol

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestValidName(t *testing.T) {
	for _, name := range []string{
		"a", "liked", "A-Z_0.9", "...", ".a", "a.", "-", "_", "__consumer_offsets", "0", strings.Repeat("x", MaxNameLength),
	} {
		assert.True(t, ValidName(name), name)
	}
	for _, name := range []string{
		"", ".", "..", " ", "a b", "a/b", "../x", `a\b`, "a:b", "a\n", "a\x00", "é", "\xff", "a?", "a%2e", "*",
		strings.Repeat("x", MaxNameLength+1),
	} {
		assert.False(t, ValidName(name), "%q", name)
	}
}

// A valid name can be the name of a directory and a word of a log line.
func FuzzValidNamesAreSafe(f *testing.F) {
	for _, s := range []string{"a", "..", "a b", "x/../y", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ValidName(s) && (strings.ContainsAny(s, "/\\ \x00\n") || s == "." || s == ".." || s == "" || len(s) > MaxNameLength) {
			t.Fatalf("%q is taken for a name", s)
		}
	})
}

func TestIsInternalTopic(t *testing.T) {
	for name, want := range map[string]bool{
		MetadataTopic: true, OffsetsTopic: true, "__": true, "__x": true, "_": false, "_x": false, "": false, "x__": false,
	} {
		assert.Equal(t, want, IsInternalTopic(name), "%q", name)
	}
}

func TestPartitionIDsAreOrderedByTopicThenNumber(t *testing.T) {
	sorted := []PartitionID{{"a", 0}, {"a", 2}, {"a", 10}, {"b", 0}, {"b", 1}}
	mixed := []PartitionID{sorted[4], sorted[1], sorted[3], sorted[2], sorted[0]}
	slices.SortFunc(mixed, ComparePartitionIDs)
	assert.Equal(t, sorted, mixed)
	assert.Zero(t, ComparePartitionIDs(sorted[2], sorted[2]))
	assert.Equal(t, "replica 7 of topic a partition 2", ReplicaID{TopicID: "a", Partition: 2, Replica: 7}.String())
}

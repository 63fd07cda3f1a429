package catalog

import (
	"math"

	"ottla/protocol"
)

// Bounds of settings, inclusive; sizes are in bytes.
const (
	maxBrokers         = 9
	maxTopicPartitions = 1024
	minTopicSegment    = 64 << 10 // small enough to watch segments roll
	maxTopicSegment    = 4 << 30
	maxRetentionHours  = 1e9 // so that milliseconds fit
)

// Values of fsync and of cleanup_policy.
const (
	fsyncAlways    = "always"
	FsyncInterval  = "interval"
	cleanupDelete  = "delete"
	CleanupCompact = "compact"
)

const defaultDeleteRetentionMs = 24 * 60 * 60 * 1000

// TopicLimits are the server's own bounds and defaults for topics.
type TopicLimits struct {
	SegmentBytes   int64 // default size of a segment; 0: 128 MiB
	MaxRecordBytes int   // the largest record the server takes, and the default; 0: 1 MiB

	Room Room // for more partitions

	Level int // of the fleet: what is above it is not written; 0: level.Newest
}

// Room is how many partitions there may be besides those of the cluster. What is elsewhere
// is as the caller has last heard of it: clusters that grow at the same time may exceed a
// limit by a little.
type Room struct {
	Replicas          int            // that a node may carry; 0: any number
	ReplicasElsewhere map[uint64]int // that each node carries of other clusters

	Owner          string // who asks for partitions; "": nobody
	Owned          int64  // partitions that the topics of the owner may have; 0: any number
	OwnedElsewhere int64  // that they have in other clusters
}

func (l TopicLimits) orDefaults() TopicLimits {
	if l.SegmentBytes == 0 {
		l.SegmentBytes = 128 << 20
	}
	if l.MaxRecordBytes == 0 {
		l.MaxRecordBytes = 1 << 20
	}
	return l
}

// notInRange refuses a setting that is outside of its range (not_allowed).
func notInRange(field, rule string, got any) *protocol.Error {
	return protocol.Errorf(protocol.CodeNotAllowed, "%s must be %s, got %v", field, rule, got).
		With("field", field).With("allowed", rule).With("value", got)
}

// setSetting sets into to the number that was sent, if one was, and refuses it if
// ok says that it is not in range. Rule is the range in words.
func setSetting[T int | int64](into *T, sent *T, field, rule string, ok func(T) bool) *protocol.Error {
	// What was not sent keeps what it has: the default, or the value so far.
	if sent == nil {
		return nil
	}
	if !ok(*sent) {
		return notInRange(field, rule, *sent)
	}
	*into = *sent
	return nil
}

// between returns a check for lo <= v <= hi.
func between[T int | int64](lo, hi T) func(T) bool {
	return func(v T) bool { return lo <= v && v <= hi }
}

// unlimitedOrPositive accepts -1 and everything above 0.
func unlimitedOrPositive(v int64) bool { return v == -1 || v > 0 }

// override checks the settings sent in spec and writes them over s. RF and
// the number of partitions are not among them: their ranges depend on the cluster, and on
// what the topic has.
func (s *TopicSettings) override(spec *protocol.TopicSpec, limits TopicLimits) *protocol.Error {
	// No topic takes what the server would refuse.
	maxRecord := min(protocol.MaxTopicRecordBytes, limits.MaxRecordBytes)
	for _, err := range []*protocol.Error{
		setSetting(&s.RetentionMs, spec.RetentionMs, "retention_ms", "-1 or more than 0", unlimitedOrPositive),
		setSetting(&s.RetentionBytes, spec.RetentionBytes, "retention_bytes", "-1 or more than 0", unlimitedOrPositive),
		setSetting(&s.SegmentBytes, spec.SegmentBytes, "segment_bytes",
			rangeRule(minTopicSegment, maxTopicSegment), between[int64](minTopicSegment, maxTopicSegment)),
		setSetting(&s.DeleteRetentionMs, spec.DeleteRetentionMs, "delete_retention_ms",
			"0 or more", between[int64](0, math.MaxInt64)),
		setSetting(&s.MaxRecordBytes, spec.MaxRecordBytes, "max_record_bytes",
			rangeRule(1, int64(maxRecord)), between(1, maxRecord)),
	} {
		if err != nil {
			return err
		}
	}
	if p := spec.CleanupPolicy; p != nil {
		if *p != cleanupDelete && *p != CleanupCompact {
			return notInRange("cleanup_policy", `"delete" or "compact"`, *p)
		}
		s.CleanupPolicy = *p
	}
	return nil
}

// reset makes settings the defaults again.
func (s *TopicSettings) reset(which protocol.TopicReset, to TopicSettings) {
	if which&protocol.ResetRetentionMs != 0 {
		s.RetentionMs = to.RetentionMs
	}
	if which&protocol.ResetRetentionBytes != 0 {
		s.RetentionBytes = to.RetentionBytes
	}
	if which&protocol.ResetSegmentBytes != 0 {
		s.SegmentBytes = to.SegmentBytes
	}
	if which&protocol.ResetCleanupPolicy != 0 {
		s.CleanupPolicy = to.CleanupPolicy
	}
	if which&protocol.ResetDeleteRetentionMs != 0 {
		s.DeleteRetentionMs = to.DeleteRetentionMs
	}
	if which&protocol.ResetMaxRecordBytes != 0 {
		s.MaxRecordBytes = to.MaxRecordBytes
	}
}

// topicDefaults are the settings of a topic that asks for none.
func (c *ClusterSettings) topicDefaults(limits TopicLimits) TopicSettings {
	return TopicSettings{
		ReplicationFactor: c.ReplicationFactor,
		RetentionMs:       retentionMs(c.RetentionHours),
		RetentionBytes:    -1,
		SegmentBytes:      limits.SegmentBytes,
		CleanupPolicy:     cleanupDelete,
		DeleteRetentionMs: defaultDeleteRetentionMs,
		MaxRecordBytes:    min(limits.MaxRecordBytes, protocol.MaxTopicRecordBytes),
	}
}

// retentionMs converts hours to milliseconds, at least one; -1 stays.
func retentionMs(hours float64) int64 {
	if hours < 0 {
		return -1
	}
	// Less than a millisecond is not "for ever", nor "not at all".
	return max(1, int64(hours*60*60*1000))
}

// Resolve makes the settings of a new cluster of what spec sends and the defaults.
// Whether the log directory is free is not decided here. Now is in milliseconds
// since 1970. Errors: invalid_name, not_allowed.
func Resolve(spec *protocol.ClusterSpec, id string, now int64) (ClusterSettings, *protocol.Error) {
	c := ClusterSettings{
		ID: id, Name: spec.Name, NumBrokers: 3, LogDirectory: spec.Name, Partitions: 3,
		RetentionHours: 168, Fsync: fsyncAlways, CreatedAt: now,
	}
	if !protocol.ValidName(spec.Name) {
		return c, invalidName("cluster", spec.Name)
	}
	if err := setSetting(&c.NumBrokers, spec.NumBrokers, "num_brokers", rangeRule(1, maxBrokers), between(1, maxBrokers)); err != nil {
		return c, err
	}
	// The default follows the number of brokers, so it comes after that.
	c.ReplicationFactor = min(3, c.NumBrokers)
	if err := setSetting(&c.ReplicationFactor, spec.ReplicationFactor, "replication_factor",
		rangeRule(1, int64(c.NumBrokers)), between(1, c.NumBrokers)); err != nil {
		return c, err
	}
	if err := setSetting(&c.Partitions, spec.Partitions, "partitions",
		rangeRule(1, maxTopicPartitions), between(1, maxTopicPartitions)); err != nil {
		return c, err
	}
	if h := spec.RetentionHours; h != nil {
		// Said like this it refuses what is not a number as well.
		if *h != -1 && !(*h > 0 && *h <= maxRetentionHours) {
			return c, notInRange("retention_policies", "-1 or hours above 0, to 1e9", *h)
		}
		c.RetentionHours = *h
	}
	if f := spec.Fsync; f != nil {
		if *f != fsyncAlways && *f != FsyncInterval {
			return c, notInRange("fsync", `"always" or "interval"`, *f)
		}
		c.Fsync = *f
	}
	if spec.LogDirectory != nil {
		c.LogDirectory = *spec.LogDirectory
	}
	return c, nil
}

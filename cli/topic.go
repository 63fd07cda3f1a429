package cli

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

// offsetsOf is the number of offsets in a topic, without partitions whose leader
// is not known.
func offsetsOf(t *protocol.TopicInfo) (n protocol.Offset) {
	for _, p := range t.Partitions {
		if p.Earliest != nil && p.Latest != nil {
			n += *p.Latest - *p.Earliest
		}
	}
	return n
}

func leaderless(t *protocol.TopicInfo) (n int) {
	for _, p := range t.Partitions {
		if p.LeaderBrokerID == nil {
			n++
		}
	}
	return n
}

func summary(t *protocol.TopicInfo) string {
	s := fmt.Sprintf("%d partitions, %d offsets", len(t.Partitions), offsetsOf(t))
	if n := leaderless(t); n > 0 {
		s += fmt.Sprintf(", %d without a leader", n)
	}
	return s
}

func newTopic(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("topic", "Create, list, describe, alter, truncate and delete topics",
		newTopicCreate(r), newTopicList(r), newTopicDescribe(r), newTopicAlter(r), newTopicDelete(r), newTopicTruncate(r))
	r.addFlags(cmd)
	return cmd
}

// addTopicFlags adds the settings that create and alter share.
func addTopicFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Int("partitions", 0, "number of partitions, 1 to 1024; it can be increased, not decreased")
	flags.Var(new(msFlag), "retention-ms", "how long records are kept: `TIME` in milliseconds, or such as 12h or 7d; -1 for ever")
	flags.Var(new(sizeFlag), "retention-bytes", "`SIZE` kept per partition, in bytes or such as 10GiB; -1 without limit")
	flags.Var(new(sizeFlag), "segment-bytes", "`SIZE` at which a log file is closed and the next one started")
	flags.String("cleanup-policy", "delete", "delete (by age and size) or compact (newest record per key)")
	flags.Var(new(msFlag), "delete-retention-ms", "`TIME` that tombstones are kept when compacting, in milliseconds or such as 1d")
	flags.Var(new(sizeFlag), "max-record-bytes", "largest `SIZE` of a record")
	flags.String("cluster", "", "the topic's cluster")
}

func newTopicCreate(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a topic",
		Long:    "Create a topic. That it exists already is an error; with --if-not-exists only where\na setting that is given is another. Settings that are not given are the cluster's\ndefaults.",
		Example: "  ottla topic create liked --partitions 6\n  ottla topic create audit --retention-ms -1\n  ottla topic create clicks --retention-ms 7d --retention-bytes 10GiB",
		Args:    exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := changed(cmd.Flags(), nil)
			fields["name"] = args[0]
			return r.create(cmd, "/topic", "topic "+args[0], fields, table(describeTopic))
		},
	}
	addTopicFlags(cmd)
	addIfNotExists(cmd)
	cmd.Flags().Int("replication-factor", 0, "replicas of each partition")
	return cmd
}

func newTopicAlter(r *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "alter NAME",
		Short:   "Change a topic's settings, or add partitions",
		Long:    "Change a topic's settings, or add partitions. Only the flags that are given change\nsomething. With more partitions, the records of a key may go to another partition\nthan before.",
		Example: "  ottla topic alter liked --retention-ms 3600000",
		Args:    exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			fields := changed(cmd.Flags(), nil)
			cluster, _ := fields["cluster"].(string)
			delete(fields, "cluster")
			if len(fields) == 0 {
				return usageError{fmt.Errorf("%s needs a setting to change", cmd.CommandPath())}
			}
			return r.change(cmd, http.MethodPatch, path("topic", args[0]), []string{"cluster", cluster}, fields, table(describeTopic))
		},
	}
	addTopicFlags(cmd)
	return cmd
}

func newTopicList(r *remote) *cobra.Command {
	var cluster string
	var internal bool
	cmd := &cobra.Command{
		Use: "list", Short: "List topics", Args: exactArgs(),
		Example: "  ottla topic list\n  ottla topic list --internal --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := []string{"cluster", cluster, "internal", ""}
			if internal {
				q[3] = "true"
			}
			return r.list(cmd, "/topic", "topics", q, table(topicRows))
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "only topics of this cluster")
	cmd.Flags().BoolVar(&internal, "internal", false, "include internal topics")
	return cmd
}

// milliseconds formats a retention without the parts that are zero: 168h, 1m30s.
func milliseconds(ms int64) string {
	switch {
	case ms < 0:
		return "for ever"
	case ms > math.MaxInt64/int64(time.Millisecond): // more than a Duration can hold
		return strconv.FormatInt(ms/time.Hour.Milliseconds(), 10) + "h"
	}
	s := (time.Duration(ms) * time.Millisecond).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func newTopicDescribe(r *remote) *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use: "describe NAME", Short: "Show a topic's settings and partitions", Args: exactArgs("a NAME"),
		Example: "  ottla topic describe liked",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("topic", args[0]), []string{"cluster", cluster}, table(describeTopic))
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "the topic's cluster")
	return cmd
}

func describeTopic(t *protocol.TopicInfo) [][]string {
	bytes := "no limit"
	if t.RetentionBytes >= 0 {
		bytes = strconv.FormatInt(t.RetentionBytes, 10)
	}
	rows := [][]string{
		{"NAME", t.Name},
		{"CLUSTER", t.Cluster},
		{"CREATED", when(t.CreatedAt)},
		{"REPLICAS", strconv.Itoa(t.ReplicationFactor)},
		{"RETENTION", milliseconds(t.RetentionMs)},
		{"RETENTION BYTES", bytes},
		{"SEGMENT BYTES", strconv.FormatInt(t.SegmentBytes, 10)},
		{"CLEANUP", t.CleanupPolicy},
		{"MAX RECORD BYTES", strconv.Itoa(t.MaxRecordBytes)},
	}
	log, known := int64(0), true
	for _, p := range t.Partitions {
		if known = known && p.LogBytes != nil; known {
			log += *p.LogBytes
		}
	}
	if known {
		rows = append(rows, []string{"ON DISK", size(log) + ", and as much for each other replica"})
	}
	for _, p := range t.Partitions {
		leader, offsets := "none", "unknown"
		if p.LeaderBrokerID != nil {
			leader = strconv.Itoa(*p.LeaderBrokerID)
		}
		if p.Earliest != nil && p.Latest != nil {
			offsets = fmt.Sprintf("%d to %d", *p.Earliest, *p.Latest)
		}
		if p.LogBytes != nil {
			offsets += ", " + size(*p.LogBytes)
		}
		rows = append(rows, []string{
			fmt.Sprintf("PARTITION %d", p.Number),
			fmt.Sprintf("leader %s, replicas %s, in sync %s, offsets %s", leader, join(p.Replicas), join(p.InSync), offsets),
		})
	}
	return rows
}

func join(ids []int) string {
	if len(ids) == 0 {
		return "none"
	}
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = strconv.Itoa(id)
	}
	return strings.Join(parts, ",")
}

func newTopicDelete(r *remote) *cobra.Command {
	var cluster string
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a topic with all its records", Args: exactArgs("a NAME"),
		Long:    "Delete a topic with all its records, for good. On a terminal it asks before.",
		Example: "  ottla topic delete liked\n  ottla topic delete liked --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.confirmed(yes, "Delete topic "+printable(args[0])+" with all its records?"); err != nil {
				return err
			}
			return r.remove(cmd, path("topic", args[0]), []string{"cluster", cluster}, "topic "+args[0])
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "the topic's cluster")
	addYes(cmd, &yes)
	return cmd
}

func newTopicTruncate(r *remote) *cobra.Command {
	var cluster string
	var partition, before int64
	var yes bool
	cmd := &cobra.Command{
		Use: "truncate NAME", Short: "Remove the oldest records of a partition, for good", Args: exactArgs("a NAME"),
		Long: "Remove the records of a partition below an offset, on all brokers and for good. Groups\n" +
			"that have not read them yet do not get them. On a terminal it asks before.",
		Example: "  ottla topic truncate liked --partition 0 --before 1000\n  ottla topic truncate liked --partition 0 --before -1   # all there is",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"partition", "before"} {
				if !cmd.Flags().Changed(name) {
					return usageError{fmt.Errorf("%s needs --%s", cmd.CommandPath(), name)}
				}
			}
			below := fmt.Sprintf("below offset %d", before)
			if before == -1 {
				below = "that it has now"
			}
			if err := r.confirmed(yes, fmt.Sprintf("Remove all records of %s-%d %s?", printable(args[0]), partition, below)); err != nil {
				return err
			}
			trim := map[string]any{"partitions": []any{map[string]any{"partition": partition, "before": before}}}
			return r.change(cmd, http.MethodPost, path("topic", args[0], "delete-records"), []string{"cluster", cluster}, trim, table(trimmedRows))
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "", "the topic's cluster")
	cmd.Flags().Int64Var(&partition, "partition", 0, "`NUMBER` of the partition")
	addYes(cmd, &yes)
	cmd.Flags().Int64Var(&before, "before", 0, "first `OFFSET` that stays; -1 for the end of the partition")
	return cmd
}

// trimmedRows is the table of `ottla topic truncate`.
func trimmedRows(a *struct{ Partitions []protocol.TrimmedPartition }) [][]string {
	rows := [][]string{{"PARTITION", "EARLIEST"}}
	for _, p := range a.Partitions {
		rows = append(rows, []string{strconv.Itoa(p.Partition), number(p.Earliest)})
	}
	return rows
}

// topicRows is the table of `ottla topic list`.
func topicRows(a *struct{ Topics []protocol.TopicInfo }) [][]string {
	rows := [][]string{{"CLUSTER", "NAME", "PARTITIONS", "REPLICAS", "LEADERLESS", "OFFSETS", "RETENTION", "CLEANUP"}}
	for i := range a.Topics {
		t := &a.Topics[i]
		rows = append(rows, []string{
			t.Cluster, t.Name, strconv.Itoa(len(t.Partitions)), strconv.Itoa(t.ReplicationFactor),
			strconv.Itoa(leaderless(t)), number(offsetsOf(t)), milliseconds(t.RetentionMs), t.CleanupPolicy,
		})
	}
	return rows
}

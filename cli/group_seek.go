package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"ottla/client"
	"ottla/protocol"
)

// seekFlags are the flags of `ottla group seek`.
type seekFlags struct {
	cluster, topic, to string
	partition          int
	allTopics, dryRun  bool
}

func newGroupSeek(r *remote) *cobra.Command {
	var f seekFlags
	cmd := clusterFlag(&cobra.Command{
		Use:   "seek NAME --topic TOPIC --to WHERE",
		Short: "Move a group's committed offsets",
		Long: "Move a group's committed offsets of one topic, in all its partitions or in one, or\n" +
			"with --all-topics of all topics that it has offsets for. WHERE is earliest, latest,\n" +
			"an offset, or " + pointsInTime + ".\n" +
			"Live members get a new generation and continue from there. Each partition is\n" +
			"printed with where the group was and where it is now; with --dry-run nothing is\n" +
			"moved.",
		Example: "  ottla group seek mailer --topic liked --to earliest\n" +
			"  ottla group seek mailer --topic liked --partition 0 --to 42\n" +
			"  ottla group seek mailer --all-topics --to -1h --dry-run",
		Args: exactArgs("a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.to == "" || (f.topic == "") == !f.allTopics {
				return usageError{fmt.Errorf("%s needs --to, and --topic or --all-topics", cmd.CommandPath())}
			}
			if !cmd.Flags().Changed("partition") {
				f.partition = -1
			} else if f.allTopics {
				return usageError{errors.New("--partition is of one topic: it excludes --all-topics")}
			}
			return (&groupSeek{remote: r, seekFlags: &f, cmd: cmd, group: args[0]}).run()
		},
	}, &f.cluster, "the group's cluster")
	flags := cmd.Flags()
	flags.StringVar(&f.topic, "topic", "", "`TOPIC` to move in")
	flags.BoolVar(&f.allTopics, "all-topics", false, "move in all topics that the group has offsets for")
	flags.StringVar(&f.to, "to", "", "`WHERE` to: earliest, latest, an offset or a time (required)")
	flags.IntVar(&f.partition, "partition", 0, "only this partition")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be moved, and move nothing")
	return cmd
}

// groupSeek is one command that moves a group.
type groupSeek struct {
	*remote
	*seekFlags
	cmd   *cobra.Command
	group string
}

// run moves the group, topic by topic, and prints from where to where.
func (s *groupSeek) run() error {
	target, err := seekTarget(s.to, time.Now())
	if err != nil {
		return err
	}
	if s.output == "json" && !s.allTopics && !s.dryRun { // the answer of the API
		fields := map[string]any{"topic": s.topic, "to": target}
		if s.partition >= 0 {
			fields["partition"] = s.partition
		}
		return s.change(s.cmd, http.MethodPost, path("groups", s.group, "seek"), []string{"cluster", s.cluster}, fields, nil)
	}
	before, err := s.offsetsOf(s.cmd, s.cluster, s.group)
	if err != nil && (s.allTopics || !client.HasCode(err, protocol.CodeGroupNotFound)) {
		return err
	}
	from := map[protocol.TopicPartition]*protocol.Offset{}
	topics := []string{s.topic}
	if s.allTopics {
		topics = nil
	}
	for _, o := range before {
		from[protocol.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = o.Committed
		if s.allTopics && !slices.Contains(topics, o.Topic) {
			topics = append(topics, o.Topic)
		}
	}
	var moved []protocol.CommittedEntry
	for _, topic := range topics {
		list, err := s.seekTopic(topic, target)
		if err != nil {
			return err
		}
		moved = append(moved, list...)
	}
	if s.output == "json" {
		text, err := body(map[string]any{"group": s.group, "offsets": moved, "moved": !s.dryRun})
		if err != nil {
			return err
		}
		return printJSON(s.p.stdout, text)
	}
	rows := [][]string{{"TOPIC", "PARTITION", "FROM", "TO"}}
	for _, o := range moved {
		at := protocol.TopicPartition{Topic: o.Topic, Partition: o.Partition}
		rows = append(rows, []string{o.Topic, strconv.Itoa(o.Partition), optional(from[at]), number(o.Offset)})
	}
	return printTable(s.p.stdout, rows)
}

// seekTopic moves a group in one topic, or finds out where it would be.
func (s *groupSeek) seekTopic(topic string, target any) ([]protocol.CommittedEntry, error) {
	if s.dryRun {
		return s.wouldSeek(topic, target)
	}
	fields := map[string]any{"topic": topic, "to": target}
	if s.partition >= 0 {
		fields["partition"] = s.partition
	}
	text, err := body(fields)
	if err != nil {
		return nil, err
	}
	answer, err := s.call(s.cmd, request{method: http.MethodPost, path: path("groups", s.group, "seek"), query: query("cluster", s.cluster), body: text})
	if err != nil {
		return nil, err
	}
	return seekAnswer(answer)
}

// seekAnswer is the answer to a seek.
func seekAnswer(answer json.RawMessage) ([]protocol.CommittedEntry, error) {
	var list struct{ Offsets []protocol.CommittedEntry }
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("the answer is not what an Ottla server gives: %w", err)
	}
	return list.Offsets, nil
}

// wouldSeek finds the offsets that a seek would commit.
func (s *groupSeek) wouldSeek(topic string, target any) (list []protocol.CommittedEntry, err error) {
	a, err := s.client()
	if err != nil {
		return nil, err
	}
	ctx, stop := s.context(s.cmd)
	defer stop()
	info, err := a.Topic(ctx, s.cluster, topic)
	if err != nil {
		return nil, a.explain(err)
	}
	for _, p := range info.Partitions {
		if s.partition >= 0 && p.Number != s.partition {
			continue
		}
		at, err := offsetOf(ctx, a, s.cluster, topic, &p, target)
		if err != nil {
			return nil, a.explain(err)
		}
		list = append(list, protocol.CommittedEntry{Topic: topic, Partition: p.Number, Offset: at})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("topic %q has no partition %d", topic, s.partition)
	}
	return list, nil
}

// offsetOf is where a target is in a partition.
func offsetOf(ctx context.Context, a *api, cluster, topic string, p *protocol.PartitionInfo, target any) (protocol.Offset, error) {
	switch target := target.(type) {
	case int64:
		return protocol.Offset(target), nil
	case map[string]int64:
		reply, err := a.Fetch(ctx, topic, p.Number, client.FetchOptions{Cluster: cluster, Since: time.UnixMilli(target["timestamp"]), MaxRecords: 1})
		if err != nil {
			return 0, err
		}
		if len(reply.Messages) > 0 {
			return protocol.Offset(reply.Messages[0].Offset), nil
		}
		return protocol.Offset(reply.NextOffset), nil
	}
	end := p.Latest
	if target == "earliest" {
		end = p.Earliest
	}
	if end == nil {
		return 0, fmt.Errorf("partition %d of topic %q has no leader now", p.Number, topic)
	}
	return *end, nil
}

package cli

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ottla/protocol"
)

func newQueue(p *process) *cobra.Command {
	r := &remote{p: p}
	cmd := family("queue", "Create, list, describe, alter, redrive and delete work queues",
		newQueueCreate(r), newQueueList(r), newQueueDescribe(r), newQueueAlter(r), newQueueRedrive(r), newQueueDelete(r))
	r.addFlags(cmd)
	return cmd
}

// queueFlags are the settings that create and alter share.
type queueFlags struct {
	topics  []string
	backoff []string
}

func (f *queueFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.topics, "topic", nil, "`TOPIC` whose records are given out; repeatable")
	wait := msFlag(protocol.DefaultAckWaitMs)
	flags.Var(&wait, "ack-wait", "how long a worker has for a record, such as 30s")
	flags.Int("max-deliveries", protocol.DefaultMaxDeliveries, "given so often, a record is a dead letter")
	flags.StringSliceVar(&f.backoff, "backoff", nil, "`TIMES` that a record waits after its first, second, ... nack, such as 1s,5s,30s")
	flags.String("dead-letter-topic", "", "`TOPIC` of dead letters (default: the record's, followed by .dead)")
	flags.String("order", "none", "none, or key: one record of a key after the other")
	flags.Int("max-in-flight", protocol.DefaultMaxInFlight, "how many records may be with workers")
	flags.String("cluster", "", "the queue's cluster")
}

// fields are the flags that were given, as fields of a request.
func (f *queueFlags) fields(cmd *cobra.Command) (map[string]any, error) {
	fields := changed(cmd.Flags(), map[string]string{"ack-wait": "ack_wait_ms"})
	delete(fields, "topic")
	delete(fields, "backoff")
	if len(f.topics) > 0 {
		fields["topics"] = f.topics
	}
	if cmd.Flags().Changed("backoff") {
		list := []int64{}
		for _, text := range f.backoff {
			var ms msFlag
			if err := ms.Set(strings.TrimSpace(text)); err != nil {
				return nil, usageError{fmt.Errorf("--backoff: %w", err)}
			}
			list = append(list, int64(ms))
		}
		fields["backoff_ms"] = list
	}
	return fields, nil
}

func newQueueCreate(r *remote) *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use: "create NAME --topic TOPIC", Short: "Make a group a work queue", Args: exactArgs("a NAME"),
		Long: "Make a group a work queue: any number of workers share the records of each\n" +
			"partition, and acknowledge them one by one. The group must have no live members.\n" +
			"Creating it again with the same settings is no error; with other settings it is.",
		Example: "  ottla queue create senders --topic mails\n  ottla queue create payments --topic orders --order key --max-deliveries 10 --backoff 1s,1m,1h",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(f.topics) == 0 {
				return usageError{fmt.Errorf("%s needs --topic", cmd.CommandPath())}
			}
			fields, err := f.fields(cmd)
			if err != nil {
				return err
			}
			fields["mode"] = protocol.ModeQueue
			return r.change(cmd, http.MethodPut, path("groups", args[0]), nil, fields, table(describeQueue))
		},
	}
	f.add(cmd)
	return cmd
}

func newQueueAlter(r *remote) *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use: "alter NAME", Short: "Change a queue's settings", Args: exactArgs("a NAME"),
		Long:    "Change a queue's settings. Only the flags that are given change something.",
		Example: "  ottla queue alter senders --max-deliveries 10",
		RunE: func(cmd *cobra.Command, args []string) error {
			fields, err := f.fields(cmd)
			if err != nil {
				return err
			}
			cluster, _ := fields["cluster"].(string)
			delete(fields, "cluster")
			if len(fields) == 0 {
				return usageError{fmt.Errorf("%s needs a setting to change", cmd.CommandPath())}
			}
			return r.change(cmd, http.MethodPatch, path("groups", args[0]), []string{"cluster", cluster}, fields, table(describeQueue))
		},
	}
	f.add(cmd)
	return cmd
}

func newQueueList(r *remote) *cobra.Command {
	var cluster string
	return clusterFlag(&cobra.Command{
		Use: "list", Short: "List work queues", Args: exactArgs(),
		Example: "  ottla queue list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.list(cmd, "/groups", "groups", []string{"cluster", cluster}, table(queueRows))
		},
	}, &cluster, "only queues of this cluster")
}

func newQueueDescribe(r *remote) *cobra.Command {
	var cluster string
	return clusterFlag(&cobra.Command{
		Use: "describe NAME", Short: "Show a queue's settings, and where it is on each partition", Args: exactArgs("a NAME"),
		Example: "  ottla queue describe senders",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.get(cmd, path("groups", args[0]), []string{"cluster", cluster}, table(describeQueue))
		},
	}, &cluster, "the queue's cluster")
}

func newQueueDelete(r *remote) *cobra.Command {
	var cluster string
	return clusterFlag(&cobra.Command{
		Use: "delete NAME", Short: "Delete a queue; its topics and dead letters stay", Args: exactArgs("a NAME"),
		Example: "  ottla queue delete senders",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.remove(cmd, path("groups", args[0]), []string{"cluster", cluster}, "queue "+args[0])
		},
	}, &cluster, "the queue's cluster")
}

// queueRows is the table of `ottla queue list`.
func queueRows(a *struct{ Groups []protocol.GroupInfo }) [][]string {
	rows := [][]string{{"CLUSTER", "QUEUE", "TOPICS", "READY", "IN FLIGHT", "DELAYED", "DEAD"}}
	for i := range a.Groups {
		g := &a.Groups[i]
		if g.QueueInfo == nil {
			continue
		}
		var sum protocol.QueuePartition
		for _, p := range g.Partitions {
			sum.Ready, sum.InFlight, sum.Delayed, sum.Dead = sum.Ready+p.Ready, sum.InFlight+p.InFlight, sum.Delayed+p.Delayed, sum.Dead+p.Dead
		}
		rows = append(rows, []string{
			g.Cluster, g.Group, strings.Join(g.Topics, " "), number(protocol.Offset(sum.Ready)), strconv.Itoa(sum.InFlight), strconv.Itoa(sum.Delayed), number(protocol.Offset(sum.Dead)),
		})
	}
	return rows
}

// describeQueue is the table of a queue.
func describeQueue(g *protocol.GroupInfo) [][]string {
	if g.QueueInfo == nil {
		return append(describeGroup(g), []string{"", "it is no queue: 'ottla queue create' makes it one"})
	}
	dead := "each topic's own, followed by .dead"
	if g.DeadLetterTopic != nil {
		dead = *g.DeadLetterTopic
	}
	backoff := make([]string, len(g.BackoffMs))
	for i, ms := range g.BackoffMs {
		backoff[i] = milliseconds(ms)
	}
	rows := [][]string{
		{"QUEUE", g.Group},
		{"CLUSTER", g.Cluster},
		{"CREATED", when(g.CreatedAt)},
		{"TOPICS", strings.Join(g.Topics, " ")},
		{"WORKERS", strconv.Itoa(len(g.Members))},
		{"ACK WAIT", milliseconds(g.AckWaitMs)},
		{"MAX DELIVERIES", strconv.Itoa(g.MaxDeliveries)},
		{"BACKOFF", printable(strings.Join(backoff, " "))},
		{"DEAD LETTERS", dead},
		{"ORDER", string(g.Order)},
		{"MAX IN FLIGHT", strconv.Itoa(g.MaxInFlight)},
	}
	for _, p := range g.Partitions {
		line := fmt.Sprintf("position %d of %d, %d ready, %d in flight, %d delayed, %d dead", p.Position, p.End, p.Ready, p.InFlight, p.Delayed, p.Dead)
		if p.OldestReadyMs != nil {
			line += ", ready for " + (time.Duration(*p.OldestReadyMs) * time.Millisecond).Round(time.Millisecond).String()
		}
		if p.Removed > 0 {
			line += fmt.Sprintf(", %d removed by retention", p.Removed)
		}
		rows = append(rows, []string{fmt.Sprintf("%s-%d", p.Topic, p.Partition), line})
	}
	return rows
}
